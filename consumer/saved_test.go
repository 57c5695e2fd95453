package consumer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/internal/inside"
	"github.com/everhop/everhop/fsm"
)

// A message that could come back once more is saved, though no handler is free: it is in the queue anew.
func TestSaved(t *testing.T) {
	m := brokertest.Message{
		Body: []byte("worn"), MessageID: "id", Expiration: "3600000",
		Headers: map[string]any{"a": "b", HeaderSaved: int64(1)},
	}
	playWorn(t, 2, m, nil, func(w *worn) {
		w.wantSaved(1)
		if acked := w.server.Count("basic.ack"); acked < 1 {
			t.Errorf("the delivery was not acknowledged")
		}
		close(w.busy)
		if d := w.next(); string(d.Body) != "busy" {
			t.Errorf("handled %s first", d.Body)
		}
		d := w.next()
		if count, _ := integer(d.Headers[deliveryCount]); count != 0 || d.Redelivered {
			t.Errorf("it came back %d times, redelivered: %t", count, d.Redelivered)
		}
		if string(d.Body) != "worn" || d.MessageID != "id" || d.Expiration != "3600000" || d.Headers["a"] != "b" {
			t.Errorf("handled %+v", d)
		}
		if d.Exchange != "" || d.RoutingKey != "work" {
			t.Errorf("from exchange %q with key %q", d.Exchange, d.RoutingKey)
		}
		if n := timesSaved(&d); n != 2 {
			t.Errorf("saved %d times, want 2", n)
		}
	})
}

// If very many are saved at once, an event tells of each of the first ones only, and the minute's outcomes of all.
func TestManySaved(t *testing.T) {
	const messages = 100
	m := brokertest.Message{Body: []byte("worn"), MessageID: "id"}
	playWorn(t, 2, m, func(w *worn, s *Subscription) {
		declareIn(t, w.server, "many", map[string]any{"x-queue-type": "quorum", "x-delivery-limit": 3})
		for range messages {
			if err := w.server.PublishMessage("many", m); err != nil {
				t.Fatal(err)
			}
		}
		w.wearAll("many", messages, 2)
		s.Queue, s.DeliveryLimit, s.Declare = "many", 3, nil
	}, func(w *worn) {
		var told []Evidence
		for _, e := range w.events.Events() {
			if e.Name == NoteSaved {
				told = append(told, EvidenceOf(e))
			}
		}
		if len(told) != mostRarities || told[0].MessageID != "id" || told[0].Queue != "many" {
			t.Errorf("%d events tell of one that was saved, want %d: %+v", len(told), mostRarities, told)
		}
		for range messages {
			w.next()
		}
		time.Sleep(time.Minute + 10*time.Second)
		var saved, leftOut uint64
		for _, e := range w.events.Events() {
			if e.Name == NoteOutcomes {
				saved, leftOut = saved+EvidenceOf(e).Saved, leftOut+EvidenceOf(e).LeftOut
			}
		}
		if n := w.c.Stats().Saved; n != messages || saved != n || leftOut != messages-mostRarities {
			t.Errorf("%d were saved; outcomes tell of %d, and that %d are left out", n, saved, leftOut)
		}
	})
}

// One that has more lives is not, nor any if the queue has no limit.
func TestNotSaved(t *testing.T) {
	m := brokertest.Message{Body: []byte("worn")}
	for name, test := range map[string]struct {
		returns int
		set     func(*worn, *Subscription)
	}{
		"more lives": {1, func(_ *worn, s *Subscription) { s.DeliveryLimit = 4 }},
		"no limit":   {2, func(_ *worn, s *Subscription) { s.DeliveryLimit = NoDeliveryLimit }},
	} {
		t.Run(name, func(t *testing.T) {
			playWorn(t, test.returns, m, test.set, func(w *worn) {
				d := w.next()
				close(w.busy)
				if count, _ := integer(d.Headers[deliveryCount]); count != test.returns {
					t.Errorf("it came back %d times, want %d", count, test.returns)
				}
				w.wantSaved(0)
			})
		})
	}
}

// One whose handler has failed it before is poison.
func TestSavedAfterFailures(t *testing.T) {
	m := brokertest.Message{Body: []byte("worn"), MessageID: "id", Headers: map[string]any{HeaderAttempts: int64(2), HeaderError: "no such customer"}}
	playWorn(t, 2, m, nil, func(w *worn) {
		parked := w.server.Messages("work.parked")
		if len(parked) != 1 || string(parked[0].Body) != "worn" {
			t.Fatalf("parked: %+v", parked)
		}
		if reason, want := parked[0].Headers[HeaderError], "it came back nearly as often as its queue allows; before that: no such customer"; reason != want {
			t.Errorf("because %v", reason)
		}
		if s := w.c.Stats(); s.Parked != 1 || s.Saved != 0 {
			t.Errorf("%+v", s)
		}
		close(w.busy)
	})
}

// One that was published on, headers and all, by a handler of another queue, has not failed here.
func TestSavedAfterFailuresElsewhere(t *testing.T) {
	m := brokertest.Message{Body: []byte("worn"), Headers: map[string]any{HeaderAttempts: int64(2), HeaderQueue: "another"}}
	playWorn(t, 2, m, nil, func(w *worn) {
		w.wantSaved(1)
		close(w.busy)
		w.next()
		if d := w.next(); string(d.Body) != "worn" || Attempts(&d) != 0 {
			t.Errorf("handled %s, after %d attempts", d.Body, Attempts(&d))
		}
	})
}

// The count of how often a message was saved begins anew once its handler has had it, and not before.
func TestSavedAnew(t *testing.T) {
	for _, test := range []struct {
		name     string
		attempts int
		want     any
	}{
		{"its handler has failed it", 3, nil},
		{"its handler was not called", 2, int64(7)},
	} {
		d := delivered("x")
		d.Headers = map[string]any{HeaderSaved: int64(7), HeaderQueue: "work", HeaderAttempts: int64(2)}
		h := (&republisher{}).headers(d, failure{attempts: test.attempts}, everything)
		if got := h[HeaderSaved]; got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// takingOutbox takes everything.
type takingOutbox struct {
	outbox
	parked []*Delivery
}

func (o *takingOutbox) park(_ context.Context, d *Delivery, _ string, _ failure) error {
	o.parked = append(o.parked, d)
	return nil
}

// What could not be read needs no handler, and waits for none: it would come back meanwhile, and be dropped in the end.
func TestUnreadableWithFewLives(t *testing.T) {
	dispatching(t, Subscription{Queue: "work"}, func(t *testing.T, d *dispatcher, s *plainSource) {
		outbox, acks := &takingOutbox{}, 0
		d.env.outbox, s.acked = outbox, func() { acks++ }
		d.pause()
		unreadable := &broker.UnreadableError{Err: errFails}
		if d.rescues.take(s, &Delivery{DeliveryTag: 1, ReceivedAt: time.Now(), Unreadable: unreadable}) {
			t.Error("it comes for the first time, perhaps from a stream, and is not left to the workers")
		}
		if !d.rescues.take(s, &Delivery{DeliveryTag: 2, ReceivedAt: time.Now(), Unreadable: unreadable, Redelivered: true}) {
			t.Fatal("it is left to the workers")
		}
		synctest.Wait()
		if n := d.env.counts.parked.Load(); n != 1 || acks != 1 || len(outbox.parked) != 1 || outbox.parked[0].DeliveryTag != 2 {
			t.Errorf("%d are counted as parked, %d acknowledged; parked: %+v", n, acks, outbox.parked)
		}
	})
}

// What cannot be published again is handled in its stead.
func TestSavedInVain(t *testing.T) {
	m := brokertest.Message{Body: []byte("worn")}
	playWorn(t, 2, m, func(w *worn, _ *Subscription) {
		for nth := range 2 { // among others, and alone
			w.server.Inject(brokertest.OnMethod("basic.publish", nth+1), brokertest.CloseChannel(403, "ACCESS_REFUSED"))
		}
	}, func(w *worn) {
		w.wantSaved(0)
		close(w.busy)
		first, second := w.next(), w.next()
		d := second
		if string(first.Body) == "worn" { // the handler was free for it
			d = first
		}
		if count, _ := integer(d.Headers[deliveryCount]); string(d.Body) != "worn" || count != 2 {
			t.Errorf("handled %s, which came back %d times", d.Body, count)
		}
	})
}

// A message from an exchange is handled as if it had never been saved.
func TestRestored(t *testing.T) {
	saved := &Delivery{
		Exchange: "", RoutingKey: "work",
		Headers: map[string]any{HeaderSaved: int64(1), HeaderExchange: "events", HeaderRoutingKey: "work.now"},
	}
	restore(saved)
	if saved.Exchange != "events" || saved.RoutingKey != "work.now" {
		t.Errorf("from exchange %q with key %q", saved.Exchange, saved.RoutingKey)
	}
	delayed := &Delivery{RoutingKey: "work", Headers: map[string]any{HeaderExchange: "events"}}
	restore(delayed)
	if delayed.Exchange != "" {
		t.Errorf("from exchange %q", delayed.Exchange)
	}
}

// hangingOutbox confirms nothing.
type hangingOutbox struct{ outbox }

func (hangingOutbox) save(ctx context.Context, _ *Delivery) error {
	<-ctx.Done()
	return ctx.Err()
}

// A stop does not wait for a broker that confirms nothing: the message goes back.
func TestSavingEndsWithTheHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work, cut := context.WithCancel(t.Context())
		d := newDispatcher(Config{Subscriptions: []Subscription{{}}}.withDefaults().Subscriptions[0], environment{
			counts: &counts{}, logger: zerolog.Nop(), inside: &inside.Marks{}, work: work, outbox: hangingOutbox{},
			keepFor: time.Hour, tell: func(fsm.Kind, string, Evidence) {}, tripped: func() {},
		})
		d.rescues.expect(DefaultDeliveryLimit)
		d.start()
		source, nacks := newPlainSource(), 0
		source.nacked = func() { nacks++ }
		d.attach(source, 1)
		d.resume()
		if !d.rescues.take(source, &Delivery{DeliveryTag: 1, Headers: map[string]any{deliveryCount: int64(19)}}) {
			t.Fatal("it is not saved")
		}
		synctest.Wait()
		d.stop()
		d.crew.fallSilent(source)
		began := time.Now()
		cut()
		d.wait()
		if took := time.Since(began); took >= cutGrace || nacks != 1 {
			t.Errorf("it took %v, and %d went back", took, nacks)
		}
	})
}

// A message that comes again after its channel was lost is known; another one of the same content is not taken for it.
func TestRescueThatComesAgain(t *testing.T) {
	r := new(rescues)
	lost, live := newPlainSource(), newPlainSource()
	of := func(count int64) *Delivery {
		return &Delivery{Body: []byte("same"), Headers: map[string]any{deliveryCount: count}}
	}
	first := r.begin(lost, of(16))
	close(lost.lost)
	for _, step := range []struct {
		count int64
		again bool
	}{{15, false}, {16, false}, {17, true}} {
		other := r.begin(live, of(step.count))
		select {
		case <-first.again:
			if !step.again {
				t.Errorf("one that came back %d times is taken for it", step.count)
			}
		default:
			if step.again {
				t.Error("it is not known again")
			}
		}
		r.end(other)
	}
	r.end(first)
	if len(r.by) > 0 {
		t.Errorf("%d are remembered", len(r.by))
	}
}
