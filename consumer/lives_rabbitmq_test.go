package consumer_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// What makes a quorum queue drop messages, as it drops what came back more often than its delivery limit: nothing of
// it may lose one. Where the queue has no limit of its own, the argument gives it RabbitMQ 4's. By the broker's own
// count it drops nothing but the original of a copy, where a connection ends, by a cut or a stop whose grace period is over,
// before a busy broker has confirmed the copy. No other test of this package has the broker drop anything for that.
func TestNoLifeIsTheLast(t *testing.T) {
	t.Parallel()
	rabbittest.NeedsControl(t)
	var after limitCounts
	for name, spendings := range map[string][]spending{"cut": spendings[:1], "stopped": spendings[1:2], "spent": spendings[2:]} {
		before := droppedForLimit(t)
		var saved atomic.Uint64
		t.Run(name, func(t *testing.T) { spendLives(t, spendings, &saved) })
		after = droppedForLimit(t)
		dropped := after.disabled - before.disabled
		t.Logf("%s: %d copies published, %d originals dropped", name, saved.Load(), dropped)
		if before.disabled = after.disabled; after != before || uint64(dropped) > saved.Load() {
			t.Errorf("%s: %d messages were dropped, and %d saved: %+v", name, dropped, saved.Load(), after)
		}
	}

	// A consumer that knows nothing of it loses one, and the count tells.
	r := newRig(t)
	r.remake("quorum", limitArguments(r.node, consumer.DefaultDeliveryLimit))
	r.load(1)
	r.onChannel(func(c *amqp.Channel) error {
		deliveries, err := c.Consume(r.queue, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		go func() {
			for d := range deliveries {
				if r.node.Has(rabbittest.NackCounts) {
					_ = d.Nack(false, true)
				} else {
					_ = d.Reject(true)
				}
			}
		}()
		after.disabled++
		r.await("the broker counts what it has dropped", func() bool { return droppedForLimit(t) == after })
		return nil
	})
}

// limitCounts are how many messages the broker has dropped or dead-lettered for a delivery limit, by how the queue
// dead-letters; where that is disabled, they are gone.
type limitCounts struct{ atLeastOnce, atMostOnce, disabled int }

func droppedForLimit(t *testing.T) (n limitCounts) {
	t.Helper()
	answer, err := rabbittest.Shared(t).Eval(t.Context(), `
		Strategy = fun(Labels) when is_map(Labels) -> maps:get(dead_letter_strategy, Labels);
			(Labels) -> proplists:get_value(dead_letter_strategy, Labels) end,
		lists:sort([{Strategy(Labels), N} || {Labels, Counters} <- maps:to_list(rabbit_global_counters:overview()),
			{messages_dead_lettered_delivery_limit_total, N} <- maps:to_list(Counters)]).`)
	if err != nil {
		t.Fatal(err)
	}
	answer = strings.Join(strings.Fields(answer), "")
	if _, err := fmt.Sscanf(answer, "[{at_least_once,%d},{at_most_once,%d},{disabled,%d}]", &n.atLeastOnce, &n.atMostOnce, &n.disabled); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	return n
}

// limitArguments give a queue a limit that it has not by itself.
func limitArguments(node *rabbittest.Node, limit int) map[string]any {
	if limit == consumer.DefaultDeliveryLimit && node.Has(rabbittest.DefaultLimit) {
		return nil
	}
	return map[string]any{"x-delivery-limit": limit}
}

type spending struct {
	name  string
	first answer // of the handler
	spend func(*spender)
	setUp func(*consumer.Subscription)
}

var spendings = []spending{
	{"connections", linger, (*spender).cut, nil},
	{"stops", linger, (*spender).restart, nil},
	{"put back on purpose", putBack, (*spender).call, nil},
	{"put back as poison", fall, (*spender).call, nil},
	{"a breaker", fall, (*spender).trip, func(s *consumer.Subscription) {
		s.Breaker = consumer.Breaker{Failures: 5, Pause: 20 * time.Millisecond}
	}},
	{"pauses", linger, (*spender).pause, nil},
}

// spendLives adds to saved how many messages were saved.
func spendLives(t *testing.T, spendings []spending, saved *atomic.Uint64) {
	for _, limit := range []int{consumer.DefaultDeliveryLimit, 3} {
		for _, test := range spendings {
			t.Run(fmt.Sprintf("%s, limit %d", test.name, limit), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				arguments := limitArguments(r.node, limit)
				r.remake("quorum", arguments)
				s := &spender{rig: r, answer: test.first, release: make(chan struct{}), calls: map[string]int{}}
				sub := &r.config.Subscriptions[0]
				sub.Handler, sub.Concurrency, sub.Prefetch = s.handle, 4, spentMessages
				sub.RequeuePause = 20 * time.Millisecond
				sub.Retry = consumer.Retry{Attempts: 1, Poison: consumer.PutBack}
				if arguments != nil { // of a queue that is not declared here
					sub.DeliveryLimit = limit
				}
				if test.setUp != nil {
					test.setUp(sub)
				}
				r.config.ReviveBackoff = consumer.Backoff{Initial: time.Millisecond, Max: 10 * time.Millisecond}
				r.load(spentMessages)
				r.start()
				r.awaitState(consumer.Consuming)
				test.spend(s)
				s.let(succeed)
				r.awaitHandled()
				r.awaitDepth(r.queue, 0, 0)
				r.stop()
				saved.Add(s.saved + r.c.Stats().Saved)
				t.Logf("a message was handled %d to %d times; %+v", s.least(), s.most(), r.c.Stats())
			})
		}
	}
}

const spentMessages = 64

// spender has messages come back.
type spender struct {
	*rig
	release chan struct{} // closed: slow handlers are to go on
	saved   uint64        // messages, by the consumers before this one

	mu     sync.Mutex
	answer answer
	calls  map[string]int // by message
}

// answer is what a handler does.
type answer int

const (
	succeed answer = iota
	putBack
	fall
	linger // until it is released, or its context ends
)

// let has handlers answer so from now on.
func (s *spender) let(a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer == linger {
		close(s.release)
		s.release = make(chan struct{})
	}
	s.answer = a
}

func (s *spender) handle(ctx context.Context, d *consumer.Delivery) error {
	s.mu.Lock()
	s.calls[string(d.Body)]++
	answer, release := s.answer, s.release
	s.mu.Unlock()
	switch answer {
	case putBack:
		return consumer.Requeue
	case fall:
		return errFails
	case linger:
		select {
		case <-release:
		case <-ctx.Done():
			return consumer.Requeue
		}
	}
	return s.rig.handle(ctx, d)
}

// least is how often the message was handled that was handled least.
func (s *spender) least() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) < spentMessages {
		return 0
	}
	return slices.Min(slices.Collect(maps.Values(s.calls)))
}

func (s *spender) most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Max(slices.Collect(maps.Values(s.calls)))
}

func (s *spender) call() {
	s.await("50 calls for each", func() bool { return s.least() >= 50 })
}

func (s *spender) trip() {
	s.await("60 trips", func() bool { return s.notes(consumer.NoteBreakerOpen) >= 60 })
}

func (s *spender) notes(name string) (n int) {
	for _, e := range s.journal.Events() {
		if e.Name == name {
			n++
		}
	}
	return n
}

func (s *spender) pause() {
	for i := range 50 {
		s.must(s.c.Subscription(s.queue).Pause())
		s.await("a pause", func() bool { return s.notes(consumer.NotePaused) > i })
		s.must(s.c.Subscription(s.queue).Resume())
		s.await("its end", func() bool { return s.notes(consumer.NoteResumed) > i })
	}
}

func (s *spender) cut() {
	for range 100 {
		n := s.events()
		s.proxy.Reset()
		s.awaitEvent(n, consumer.Revived)
		<-time.After(betweenCuts)
	}
}

// betweenCuts is time for deliveries, and for a confirm on a busy machine: a message with a limit of 3 is saved on its
// first life after the one that it lost, and of three cuts in a row one must leave it that. With less time the broker
// drops some that this process then has the only copy of.
const betweenCuts = 100 * time.Millisecond

func (s *spender) restart() {
	s.config.GracePeriod = 200 * time.Millisecond
	for range 30 {
		s.stop()
		s.saved += s.c.Stats().Saved
		s.start()
		s.awaitState(consumer.Consuming)
		<-time.After(20 * time.Millisecond)
	}
}
