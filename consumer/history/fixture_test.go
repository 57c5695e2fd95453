package history_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// morning is when the logs of these tests begin.
var morning = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

// writer makes a log with a real machine and a clock that only it moves.
type writer struct {
	t     tester
	of    *history.Lifecycle
	clock time.Time
	log   []fsm.Event
	m     *fsm.Machine
	runs  int

	suspended time.Duration // by which the wall clock is ahead
}

// tester is a testing.TB or a *rapid.T.
type tester interface {
	Helper()
	Fatal(...any)
}

func newWriter(t tester) *writer { return newWriterOf(t, history.Consumer()) }

func newWriterOf(t tester, of *history.Lifecycle) *writer {
	return &writer{t: t, of: of, clock: morning}
}

// Append and Last make it a journal.
func (w *writer) Append(e fsm.Event) error {
	e.Time = e.Time.Add(w.suspended)
	w.log = append(w.log, e)
	return nil
}

func (w *writer) Last() (fsm.Event, bool) {
	if len(w.log) == 0 {
		return fsm.Event{}, false
	}
	return w.log[len(w.log)-1], true
}

// begin starts a run as consumer.New does.
func (w *writer) begin() *writer {
	w.t.Helper()
	w.runs++
	m, err := fsm.New(w.of.Table, fsm.Options{
		Name: "orders", Journal: w, Run: "run" + string(rune('0'+w.runs)), Now: func() time.Time { return w.clock },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.m = m
	if m.State() != consumer.Disconnected {
		w.fire(consumer.ProcessRestarted)
	}
	return w.record(fsm.KindBoot, "", consumer.Evidence{Note: "everhop v1.2.0"})
}

func (w *writer) fire(trigger fsm.Trigger, why ...consumer.Evidence) *writer {
	w.t.Helper()
	if _, err := w.m.Fire(trigger, append(why, consumer.Evidence{})[0].Event()); err != nil {
		w.t.Fatal(err)
	}
	return w
}

func (w *writer) record(kind fsm.Kind, name string, why consumer.Evidence) *writer {
	w.t.Helper()
	if _, err := w.m.Record(kind, name, why.Event()); err != nil {
		w.t.Fatal(err)
	}
	return w
}

func (w *writer) wait(d time.Duration) *writer {
	w.clock = w.clock.Add(d)
	return w
}

// connect takes 20 ms.
func (w *writer) connect() *writer {
	w.t.Helper()
	return w.fire(consumer.Connect).wait(20*time.Millisecond).fire(consumer.Connected, consumer.Evidence{Endpoint: "mq1:5672", Generation: 1})
}

// idle consumes nothing for at least so long: a heartbeat every 3 s.
func (w *writer) idle(d time.Duration) *writer {
	w.t.Helper()
	for end := w.clock.Add(d); w.clock.Before(end); {
		w.wait(2990 * time.Millisecond).fire(consumer.DrainTimeout).wait(10 * time.Millisecond).fire(consumer.HeartbeatOK)
	}
	return w
}

var (
	reset   = consumer.Evidence{Endpoint: "mq1:5672", Scope: "connection", Class: "network", Error: "read: connection reset by peer"}
	refused = consumer.Evidence{Endpoint: "mq1:5672", Scope: "connection", Class: "network", Error: "dial: connect: connection refused"}
	frozen  = consumer.Evidence{Endpoint: "mq1:5672", Scope: "connection", Class: "heartbeat", Error: "probe: the peer went silent"}
	deleted = consumer.Evidence{Endpoint: "mq1:5672", Scope: "channel", Queue: "orders", Class: "cancelled", Error: "consuming: the broker cancelled the consumer"}
	missing = consumer.Evidence{Endpoint: "mq1:5672", Scope: "channel", Queue: "orders", Class: "not_found", Code: 404, Error: "consume: 404 NOT_FOUND"}
	denied  = consumer.Evidence{Endpoint: "mq1:5672", Class: "auth", Code: 403, Error: "open: 403 ACCESS_REFUSED"}
)

func attempt(why consumer.Evidence, number int) consumer.Evidence {
	why.Attempt = number
	return why
}

// revive fails so many times, with so long in between, and then succeeds.
func (w *writer) revive(failures int, each time.Duration, why consumer.Evidence) *writer {
	w.t.Helper()
	for n := range failures {
		w.wait(each).fire(consumer.ReviveFailed, attempt(why, n+1))
	}
	return w.wait(each).fire(consumer.Revived, consumer.Evidence{Attempt: failures + 1, Endpoint: "mq1:5672"})
}

// wander makes a log of random transitions, over several runs.
func wander(t testing.TB, seed uint64, steps int) []fsm.Event {
	t.Helper()
	return wanderAs(t, history.Consumer(), seed, steps)
}

func wanderAs(t testing.TB, of *history.Lifecycle, seed uint64, steps int) []fsm.Event {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	w := newWriterOf(t, of).begin()
	for range steps {
		w.wait(time.Duration(random.Int64N(int64(10 * time.Second))))
		if random.IntN(20) == 0 {
			w.begin()
			continue
		}
		permitted := of.Table.Permitted(w.m.State())
		trigger := permitted[random.IntN(len(permitted))]
		if trigger == consumer.ProcessRestarted {
			continue
		}
		w.fire(trigger, consumer.Evidence{Class: []string{"network", "resource"}[random.IntN(2)]})
		if trigger == consumer.Stop || trigger == consumer.FatalError || trigger == consumer.RetriesExhausted {
			w.wait(time.Duration(random.Int64N(int64(time.Minute)))).begin()
		}
	}
	return w.log
}
