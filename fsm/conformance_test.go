package fsm_test

import (
	"testing"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/fsmtest"
)

func TestRingConforms(t *testing.T) {
	fsmtest.Journal(t, func(*testing.T) fsm.Journal { return fsm.NewRing(100) })
}
