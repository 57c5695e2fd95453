package consumer

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/fsm"
)

// For the tests of the external test package.

func LogLines(logger zerolog.Logger) fsm.Projection { return &logLines{logger: logger} }

func Delay(b Backoff, failures int) time.Duration { return b.delay(failures) }

// RaceDetector tells whether the race detector is at work, under which everything takes several times as long.
const RaceDetector = raceDetector
