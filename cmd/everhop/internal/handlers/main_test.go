package handlers

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is for what happens at once on an idle machine, and may take long on a busy one.
const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
