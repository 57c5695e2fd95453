package consumer

import (
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/fsm"
)

// For the tests of the external test package.

func LogLines(logger zerolog.Logger) func(fsm.Event) { return projections(Config{Logger: logger})[0] }

// RaceDetector tells whether the race detector is at work, under which everything takes several times as long.
const RaceDetector = raceDetector
