package consumer

import (
	"errors"
	"fmt"

	"github.com/everhop/everhop/consumer/internal/ack"
)

// CommitLater is what Subscription.Commit returns, wrapped or not, when it could not make the messages last
// and that is no news: nothing is acknowledged, as after any error, but nothing is logged.
var CommitLater = errors.New("consumer: to be committed later") //nolint:errname,staticcheck // an outcome, not a failure

// commit calls Subscription.Commit: for one channel at a time, and not after Run.
func (d *dispatcher) commit() error {
	d.committing <- struct{}{}
	defer func() { <-d.committing }()
	err := d.calls.call("Commit", func() error {
		err := d.spec.Commit(d.env.work)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, CommitLater):
			return fmt.Errorf("%w: %s", CommitLater, err.Error())
		}
		return errors.New(err.Error()) // whose methods cannot panic
	})
	switch {
	case err == nil, errors.Is(err, CommitLater):
	case errors.Is(err, errEnded):
		return ack.ErrEnded
	default:
		if times, tell := d.repeats.count("commit" + err.Error()); tell {
			d.env.logger.Error().Err(err).Str(FieldQueue, d.spec.Queue).Int("times", times).
				Msgf("commit failed; nothing is acknowledged, and it is tried again in %v", d.spec.RequeuePause)
		}
	}
	return err
}
