package consumer

import (
	"errors"
	"fmt"

	"github.com/everhop/everhop/consumer/internal/ack"
)

// errOnPurpose means that Commit has made nothing last, and nobody is to be told.
var errOnPurpose = errors.New("consumer: Commit has put it off")

// commit calls Subscription.Commit: for one channel at a time, and not after Run.
func (d *dispatcher) commit() error {
	d.committing.Lock()
	defer d.committing.Unlock()
	err := d.calls.call(func() error {
		err := d.spec.Commit(d.env.work)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, Requeue):
			return fmt.Errorf("%w: %s", errOnPurpose, err.Error())
		}
		return errors.New(err.Error()) // whose methods cannot panic
	})
	switch {
	case err == nil, errors.Is(err, errOnPurpose):
	case errors.Is(err, errEnded):
		return ack.ErrEnded
	default:
		d.env.logger.Error().Err(err).Str(FieldQueue, d.spec.Queue).
			Msgf("commit failed; nothing is acknowledged, and it is tried again in %v", d.spec.RequeuePause)
	}
	return err
}
