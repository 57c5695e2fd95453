package consumer_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// TestChaos plays faults at random while messages flow, and then wants everything to be as if nothing
// had happened: every message handled, the consumer subscribed, the journal replayable.
func TestChaos(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.config.Subscriptions[0].Concurrency = 4
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		<-time.After(rand.N(20 * time.Millisecond)) // the work
		return r.handle(ctx, d)
	}
	r.start()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for ctx.Err() == nil {
			r.publish(5)
			<-time.After(50 * time.Millisecond)
		}
	})
	directions := []rabbittest.Direction{rabbittest.ToBroker, rabbittest.ToClient, rabbittest.Both}
	for ctx.Err() == nil {
		pause := rand.N(1500 * time.Millisecond)
		direction := directions[rand.IntN(len(directions))]
		switch rand.IntN(5) {
		case 0:
			r.proxy.Reset()
		case 1:
			r.proxy.DropCurrent(direction)
			pause = rand.N(6 * time.Second)
		case 2:
			r.proxy.Freeze(direction)
			<-time.After(pause)
			r.proxy.Thaw()
		case 3:
			r.proxy.Refuse()
			<-time.After(pause)
			if err := r.proxy.Accept(); err != nil {
				t.Fatal(err)
			}
		case 4:
			r.proxy.FreezeAfterOpen()
			r.proxy.Reset()
			<-time.After(pause)
			r.proxy.Thaw()
		}
		<-time.After(pause)
	}
	publisher.Wait()
	r.proxy.Thaw()
	r.flows()
	r.stop()
	r.replays()
	t.Logf("%d messages, %d transitions, %+v", r.published, len(r.log.transitions(t)), r.c.Stats())
}
