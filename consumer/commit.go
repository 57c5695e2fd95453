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
func (c *callbacks) commit() error {
	c.committing <- struct{}{}
	defer func() { <-c.committing }()
	err := c.call("Commit", func() error {
		err := c.spec.Commit(c.env.work)
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
		if times, tell := c.uncommitted.count(err.Error()); tell {
			c.env.logger.Error().Err(err).Str(FieldQueue, c.spec.Queue).Int("times", times).
				Msgf("commit failed; nothing is acknowledged, and it is tried again in %v", c.spec.RequeuePause)
		}
	}
	return err
}
