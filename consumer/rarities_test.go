package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// Each message that is rare in some way is told of once, with what was the matter, and without a second line in the log.
func TestRareThings(t *testing.T) {
	long := strings.Repeat("ä", 300)
	type told struct {
		Name, Cause, Error, MessageID string
		Attempt                       int
	}
	for name, test := range map[string]struct {
		handler consumer.Handler
		poison  consumer.Poison
		timeout time.Duration
		want    []told
	}{
		"parked": {
			handler: func(context.Context, *consumer.Delivery) error {
				return errors.New("\n \x1b[31mFK violation\x00:\tarticle 7\nsecret details")
			},
			want: []told{{consumer.NoteParked, "", "[31mFK violation: article 7", "m1", 3}},
		},
		"permanent, and parked": {
			handler: func(context.Context, *consumer.Delivery) error { return consumer.Permanent(errors.New(long)) },
			want:    []told{{consumer.NoteParked, consumer.NotePermanent, strings.Repeat("ä", 98) + "…", "m1", 1}},
		},
		"permanent, and dead-lettered": {
			handler: func(context.Context, *consumer.Delivery) error {
				return consumer.Permanent(errors.New("no such field"))
			},
			poison: consumer.DeadLetter,
			want:   []told{{consumer.NoteDeadLettered, consumer.NotePermanent, "no such field", "m1", 1}},
		},
		"rejected": {
			handler: func(context.Context, *consumer.Delivery) error { return fmt.Errorf("not for us: %w", consumer.Reject) },
			want:    []told{{consumer.NoteDeadLettered, "", "not for us: consumer: rejected on purpose", "m1", 1}},
		},
		"panicked, and parked": {
			handler: func(context.Context, *consumer.Delivery) error { panic("boom") },
			want: []told{
				{consumer.NotePanicked, "", "consumer: the handler panicked: boom", "m1", 1},
				{consumer.NoteParked, consumer.NotePanicked, "consumer: the handler panicked: boom", "m1", 3},
			},
		},
		"timed out, and then handled": {
			handler: func(ctx context.Context, d *consumer.Delivery) error {
				if consumer.Attempts(d) > 0 {
					return nil
				}
				<-ctx.Done()
				return errors.New("gave up")
			},
			timeout: time.Second,
			want:    []told{{consumer.NoteTimedOut, "", "gave up", "m1", 1}},
		},
		"permanent, and put back": {
			handler: func(_ context.Context, d *consumer.Delivery) error {
				if d.Redelivered {
					return nil
				}
				return consumer.Permanent(errors.New("not yet"))
			},
			poison: consumer.PutBack,
			want:   []told{{consumer.NotePermanent, "", "not yet", "m1", 1}},
		},
		"handled": {handler: func(context.Context, *consumer.Delivery) error { return nil }},
		"tried again": {
			handler: func(_ context.Context, d *consumer.Delivery) error {
				if consumer.Attempts(d) > 1 {
					return nil
				}
				return errors.New("try again")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				poison := test.poison
				if poison == "" {
					poison = consumer.Park
				}
				ring := telling(t, []consumer.Subscription{{
					Queue: "work", Handler: test.handler, HandlerTimeout: test.timeout, Retry: consumer.Retry{Attempts: 3, Poison: poison},
				}}, func(server *brokertest.Server, _ *consumer.Consumer, _ *fsm.Ring) {
					if err := server.PublishMessage("work", brokertest.Message{MessageID: "m1", Body: []byte("the secret body")}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(30 * time.Second)
				})
				var got []told
				for _, e := range named(ring, consumer.NoteParked, consumer.NoteDeadLettered, consumer.NotePermanent, consumer.NoteTimedOut, consumer.NotePanicked) {
					why := consumer.EvidenceOf(e)
					text, _, _ := strings.Cut(why.Error, " (") // the place of a panic
					got = append(got, told{e.Name, why.Cause, text, why.MessageID, why.Attempt})
					if why.Queue != "work" || why.Note == "" {
						t.Errorf("queue %q, note %q", why.Queue, why.Note)
					}
				}
				if last, _ := ring.Last(); last.Trigger != consumer.Stop {
					t.Errorf("the last event is %v, and all else is to come before the stop", last)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("want (-), got (+):\n%s", diff)
				}
				for _, e := range ring.Events() {
					if text := fmt.Sprint(e); strings.Contains(text, "secret") {
						t.Errorf("an event has more of the message or its error than it should: %s", text)
					}
				}
			})
		})
	}
}

// Rare things are told up to a number a minute and queue. The minute's outcomes, its last event, say how many were not.
func TestManyRareThings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages, most = 500, 20
		ring := telling(t, []consumer.Subscription{
			{Queue: "a", Handler: func(context.Context, *consumer.Delivery) error { return consumer.Reject }},
			{Queue: "b", Handler: func(context.Context, *consumer.Delivery) error { return consumer.Reject }},
		}, func(server *brokertest.Server, c *consumer.Consumer, ring *fsm.Ring) {
			for range 3 {
				if err := errors.Join(server.Publish("a", slices.Repeat([]string{"x"}, messages)...), server.Publish("b", "x")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
		})
		told, leftOut := map[string]int{}, uint64(0)
		for _, e := range named(ring, consumer.NoteDeadLettered, consumer.NoteOutcomes) {
			why := consumer.EvidenceOf(e)
			if e.Name == consumer.NoteDeadLettered {
				told[why.Queue]++
				continue
			}
			leftOut += why.LeftOut
			if why.Queue == "a" && why.LeftOut != messages-most {
				t.Errorf("%d are left out, want %d: %s", why.LeftOut, messages-most, why.Note)
			}
		}
		if told["a"] != 3*most || told["b"] != 3 || leftOut != 3*(messages-most) {
			t.Errorf("told %v, left out %d", told, leftOut)
		}
		if sum, _ := outcomesOf(ring, ""); sum.Rejected != 3*(messages+1) {
			t.Errorf("%d are rejected, says the journal", sum.Rejected)
		}
	})
}

// A million handled messages are a few kilobytes of a journal in files.
func TestJournalOfAMillion(t *testing.T) {
	messages := 1_000_000
	if testing.Short() {
		messages = 50_000
	}
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		if err := server.DeclareQueue("work", nil); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		files, err := journal.Open(dir, journal.Options{Sync: journal.SyncNever})
		if err != nil {
			t.Fatal(err)
		}
		var handled atomic.Int64
		c, err := consumer.New(consumer.Config{
			URLs: []string{server.URL()}, Dial: server.Dial, Journal: files, DrainTimeout: time.Hour, // without idle checks
			Subscriptions: []consumer.Subscription{{Queue: "work", Prefetch: 1000, Handler: func(context.Context, *consumer.Delivery) error {
				handled.Add(1)
				return nil
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(context.Background()) }()
		const minutes = 10
		batch := slices.Repeat([]string{"x"}, messages/minutes)
		for range minutes {
			if err := server.Publish("work", batch...); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if err := errors.Join(c.Stop(context.Background()), <-ended, files.Close()); err != nil {
			t.Error(err)
		}
		if n := handled.Load(); n != int64(messages) {
			t.Fatalf("%d were handled", n)
		}
		var size int64
		paths, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil {
				size += info.Size()
			}
		}
		if size == 0 || size > 10<<10 {
			t.Errorf("the journal has %d bytes", size)
		}
		outcomes := 0
		var damage error
		for e := range journal.Until(journal.Read(dir), &damage) {
			if e.Name == consumer.NoteOutcomes {
				outcomes++
			}
		}
		if damage != nil || outcomes < minutes || outcomes > minutes+1 {
			t.Errorf("%d outcomes, %v", outcomes, damage)
		}
		t.Logf("%d messages: a journal of %d bytes, %d outcomes", messages, size, outcomes)
	})
}
