package consumer_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// refusingOutcomes is a journal that takes no outcomes for a while.
type refusingOutcomes struct {
	*fsm.Ring
	refuses atomic.Bool
}

func (j *refusingOutcomes) Append(e fsm.Event) error {
	if e.Name == consumer.NoteOutcomes && j.refuses.Load() {
		return errors.New("the disk is full")
	}
	return j.Ring.Append(e)
}

// What a journal has refused is in the next event that it takes.
func TestOutcomesThatTheJournalRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		if err := errors.Join(server.DeclareQueue("q", nil), server.Publish("q", "a", "b", "c")); err != nil {
			t.Fatal(err)
		}
		journal := &refusingOutcomes{Ring: fsm.NewRing(10_000)}
		journal.refuses.Store(true)
		c, err := consumer.New(consumer.Config{
			URLs: []string{server.URL()}, Dial: server.Dial, Journal: journal,
			Subscriptions: []consumer.Subscription{{Queue: "q", Handler: func(context.Context, *consumer.Delivery) error { return nil }}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(t.Context()) }()
		time.Sleep(3 * time.Minute)
		journal.refuses.Store(false)
		if err := errors.Join(c.Stop(t.Context()), <-ended); err != nil {
			t.Fatal(err)
		}
		var sum uint64
		for _, e := range journal.Events() {
			if e.Name == consumer.NoteOutcomes {
				sum += consumer.EvidenceOf(e).Acknowledged
			}
		}
		if sum != 3 || c.Stats().Acknowledged != 3 {
			t.Errorf("the events have %d of %d", sum, c.Stats().Acknowledged)
		}
	})
}
