package consumer_test

import (
	"cmp"
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// TestChaos plays faults at random while messages flow. Whenever it waits for it, the consumer is back and
// the broker counts it; in the end everything is as if nothing had happened: every message handled, the
// journal replayable. EVERHOP_CHAOS_SEED plays the faults of an earlier run.
func TestChaos(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("EVERHOP_CHAOS_SEED"), strconv.FormatInt(time.Now().UnixNano(), 10)), 10, 64)
	r.must(err)
	t.Logf("EVERHOP_CHAOS_SEED=%d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	some := func(d time.Duration) time.Duration { return time.Duration(dice.Int64N(int64(d))) }
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
		pause := some(1500 * time.Millisecond)
		direction := directions[dice.IntN(len(directions))]
		switch dice.IntN(6) {
		case 0:
			r.proxy.Reset()
		case 1:
			r.proxy.DropCurrent(direction)
			pause = some(6 * time.Second)
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
		case 5:
			r.await("Consuming, and the broker counts the consumer", func() bool {
				return r.consumers() > 0 && r.c.State() == consumer.Consuming
			})
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
