package consumer_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// The connection is cut ten times while handlers work. Every message is handled; none is acknowledged
// before its handler returned: that is read off the wire, and RabbitMQ is asked as well.
func TestCutsWhileHandlersWork(t *testing.T) {
	t.Parallel()
	slow := work{messages: 2000, least: 200 * time.Millisecond, most: 1500 * time.Millisecond}
	fast := work{messages: 20000, most: 40 * time.Millisecond} // acknowledgements share frames
	for _, test := range []struct {
		name, kind string
		work       work
		dedup      int
	}{
		{"cuts-classic", "classic", slow, 0},
		{"cuts-classic-dedup", "classic", slow, 4096},
		{"cuts-quorum-dedup", "quorum", slow, 4096},
		{"cuts-classic-fast", "classic", fast, 0},
		{"cuts-quorum-fast-dedup", "quorum", fast, 4096},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cutWhileHandlersWork(t, test.kind, test.work, test.dedup)
		})
	}
}

// work is how much there is to do, and how long a handler takes for a message.
type work struct {
	messages    int
	least, most time.Duration
}

func cutWhileHandlersWork(t *testing.T, kind string, w work, dedup int) {
	const cuts = 10
	l := newLedger(t, dedup > 0) // before the rig, so that it looks when the consumer has ended
	r := newRig(t)
	r.remake(kind, nil)
	r.config.Dial = l.dial
	r.config.Logger = r.config.Logger.Level(zerolog.WarnLevel) // without hundreds of stale outcomes

	r.config.Heartbeat = 2 * time.Second // the broker finds out within three of them
	r.config.Subscriptions[0].Concurrency = 50
	r.config.Subscriptions[0].Prefetch = 100
	r.config.Subscriptions[0].Dedup.Window = dedup
	r.config.Subscriptions[0].Handler = func(_ context.Context, d *consumer.Delivery) error {
		l.begin(d)
		<-time.After(w.least + rand.N(w.most-w.least)) // the work
		l.finish(d)
		return nil
	}
	r.load(w.messages)
	r.start()
	asked := func() {}
	if kind == "classic" {
		asked = l.audit(r, w.messages)
	}
	for i := range cuts {
		r.await("the handlers to get on", func() bool { return l.handled() >= (i+1)*w.messages/(cuts+1) })
		n := r.events()
		r.cut(i)
		asked()
		r.awaitEvent(n, consumer.Revived)
	}
	r.await("every message to be handled", func() bool { return l.handled() == w.messages })
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
	r.replays()
	l.check(t, w.messages)
	if kind == "classic" && l.audits < cuts {
		t.Errorf("RabbitMQ has answered %d times, and was asked at each of %d cuts", l.audits, cuts)
	}
	stats := r.c.Stats()
	t.Logf("%v; %+v", l, stats)
	if (stats.Deduplicated > 0) != (dedup > 0) {
		t.Errorf("%d deliveries were deduplicated, with a memory of %d", stats.Deduplicated, dedup)
	}
}

// cut breaks the connection, each number in its way, so that a new one is made.
func (r *rig) cut(i int) {
	r.Helper()
	n := r.events()
	switch i {
	case 1:
		r.proxy.DropCurrent(rabbittest.Both)
	case 3: // nobody listens for a while
		r.proxy.Refuse()
		r.awaitEvent(n, consumer.ReviveFailed)
		r.must(r.proxy.Accept())
	case 4: // deliveries come, acknowledgements do not arrive
		r.proxy.DropCurrent(rabbittest.ToBroker)
	case 6: // only its own heartbeat tells the broker
		r.proxy.FreezeCurrent(rabbittest.Both)
	case 8: // acknowledgements arrive when the consumer has given up the connection
		r.proxy.Freeze(rabbittest.Both)
		r.awaitState(consumer.Reviving)
		r.proxy.Thaw()
	default:
		r.proxy.Reset()
	}
}
