package consumer

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// errEnded means that Commit is called no more: what it has not made last is not acknowledged.
var errEnded = errors.New("consumer: the consumer has ended")

// commit calls Subscription.Commit: for one channel at a time, and not after Run.
func (d *dispatcher) commit() (err error) {
	d.committing.Lock()
	defer d.committing.Unlock()
	if d.ended.Load() {
		return errEnded
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("consumer: Commit panicked: %v\n%s", r, debug.Stack())
		}
		if err != nil && !errors.Is(err, Requeue) {
			d.logger.Error().Err(err).Str(FieldQueue, d.spec.Queue).
				Msgf("commit failed; nothing is acknowledged, and it is tried again in %v", d.spec.RequeuePause)
		}
	}()
	return examined(d.spec.Commit(d.work))
}
