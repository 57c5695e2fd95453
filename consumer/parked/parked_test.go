package parked_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/parked"
)

// rig is a broker with the queues orders and orders.parked.
type rig struct {
	*testing.T
	server *brokertest.Server
	config parked.Config
}

func inRig(t *testing.T, do func(*rig), options ...brokertest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, server: brokertest.NewInMemoryServer(t, options...)}
		r.config = parked.Config{
			URLs: []string{r.server.URL()}, Dial: r.server.Dial, Queue: "orders.parked", Name: "test", User: "guest",
		}
		for _, queue := range []string{"orders", "orders.parked"} {
			r.must(r.server.DeclareQueue(queue, nil))
		}
		do(r)
	})
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// park puts messages into the parking queue: a body, and the error behind a colon.
func (r *rig) park(n int, err func(int) string) {
	r.Helper()
	for i := range n {
		r.must(r.server.PublishMessage(r.config.Queue, brokertest.Message{
			Body: []byte(fmt.Sprint(i)), MessageID: fmt.Sprint("id-", i), Headers: headers("orders", err(i)),
		}))
	}
}

var failedAt = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func headers(queue, err string) map[string]any {
	return map[string]any{
		consumer.HeaderAttempts: int64(4), consumer.HeaderError: err, consumer.HeaderQueue: queue, consumer.HeaderHost: "h",
		consumer.HeaderFirstFailed: failedAt.Add(-time.Minute), consumer.HeaderLastFailed: failedAt,
		consumer.HeaderExchange: "", consumer.HeaderRoutingKey: queue, "own": "kept",
	}
}

func always(text string) func(int) string { return func(int) string { return text } }

// every has an error of its own for every nth message.
func every(n int, text, other string) func(int) string {
	return func(i int) string {
		if i%n == 0 {
			return text
		}
		return other
	}
}

func (r *rig) bodies(queue string) (list []string) {
	for _, m := range r.server.Messages(queue) {
		list = append(list, string(m.Body))
	}
	return list
}

func numbers(n int, keep func(int) bool) (list []string) {
	for i := range n {
		if keep(i) {
			list = append(list, fmt.Sprint(i))
		}
	}
	return list
}

func all(int) bool { return true }

func (r *rig) wantBodies(queue string, want []string) {
	r.Helper()
	if got := r.bodies(queue); !slices.Equal(got, want) {
		r.Errorf("queue %s: %q; want %q", queue, got, want)
	}
}

func (r *rig) wantTally(got, want parked.Tally) {
	r.Helper()
	got.Lives = 0
	if got != want {
		r.Errorf("%+v; want %+v", got, want)
	}
}

func TestLook(t *testing.T) {
	inRig(t, func(r *rig) {
		r.park(10, every(2, "no stock", "bad price"))
		var seen []string
		look := func(c parked.Config) parked.Tally {
			seen = nil
			tally, err := parked.Look(r.Context(), c, func(e *parked.Entry) error {
				if e.From != "orders" || e.Times != 4 || !e.Last.Equal(failedAt) || !e.First.Equal(failedAt.Add(-time.Minute)) {
					r.Errorf("%+v", e)
				}
				seen = append(seen, string(e.Message.Body))
				return nil
			})
			r.must(err)
			r.wantBodies("orders.parked", numbers(10, all))
			return tally
		}
		r.wantTally(look(r.config), parked.Tally{Waiting: 10, Seen: 10, Matched: 10})
		if !slices.Equal(seen, numbers(10, all)) {
			r.Errorf("%q", seen)
		}
		few := r.config
		few.Count = 3
		r.wantTally(look(few), parked.Tally{Waiting: 10, Seen: 3, Matched: 3})
		few.Filter.Error = regexp.MustCompile("price")
		r.wantTally(look(few), parked.Tally{Waiting: 10, Seen: 6, Matched: 3})
		if want := []string{"1", "3", "5"}; !slices.Equal(seen, want) {
			r.Errorf("%q", seen)
		}
	})
}

// Memory is bounded, and all is seen once, in its order.
func TestLookInParts(t *testing.T) {
	inRig(t, func(r *rig) {
		const n = 200
		r.park(n, always("x"))
		r.config.MaxMemory = 20 << 10 // some 20 messages
		var seen []string
		tally, err := parked.Look(r.Context(), r.config, func(e *parked.Entry) error {
			seen = append(seen, string(e.Message.Body))
			return nil
		})
		r.must(err)
		r.wantTally(tally, parked.Tally{Waiting: n, Seen: n, Matched: n})
		if !slices.Equal(seen, numbers(n, all)) {
			r.Errorf("%q", seen)
		}
		if parts := r.server.Count("basic.consume"); parts < 2 {
			r.Errorf("%d parts", parts)
		}
		r.wantBodies("orders.parked", numbers(n, all))
	})
}

// Others may take the messages meanwhile: it ends when none is left. Where they are not delivered it says so.
func TestLookBesideOthers(t *testing.T) {
	inRig(t, func(r *rig) {
		r.park(3, always("x"))
		tally, err := parked.Look(r.Context(), r.config, func(e *parked.Entry) error { return nil })
		r.must(err)
		r.wantTally(tally, parked.Tally{Waiting: 3, Seen: 3, Matched: 3})

		r.server.SuspendQueue("orders.parked")
		if _, err := parked.Look(r.Context(), r.config, func(*parked.Entry) error { return nil }); err == nil {
			r.Error("nothing was wrong")
		}
		r.server.ResumeQueue("orders.parked")

		r.config.Queue = "nowhere"
		var failure *broker.Error
		if _, err := parked.Look(r.Context(), r.config, nil); !errors.As(err, &failure) || failure.Class != broker.NotFound {
			r.Errorf("%v", err)
		}
	})
}

// Retry takes out what is meant, each confirmed; the rest keeps its order. What comes back meanwhile is left alone.
func TestRetry(t *testing.T) {
	inRig(t, func(r *rig) {
		r.park(10, every(3, "no stock", "bad price"))
		r.must(r.server.Bind("amq.fanout", "", "orders.parked", nil))
		r.config.Filter.Error = regexp.MustCompile("price")
		var told []string
		back := 0
		tally, err := parked.Retry(r.Context(), r.config, func(e *parked.Entry, err error) {
			r.must(err)
			told = append(told, string(e.Message.Body))
			back++ // its consumer parks it again at once
			if err := r.server.PublishMessage("orders.parked", brokertest.Message{Body: []byte("again"), Headers: headers("orders", "bad price")}); err != nil {
				r.Error(err)
			}
		})
		r.must(err)
		price := numbers(10, func(i int) bool { return i%3 != 0 })
		r.wantTally(tally, parked.Tally{Waiting: 10, Seen: 10, Matched: 6, Done: 6})
		if !slices.Equal(told, price) {
			r.Errorf("%q", told)
		}
		r.wantBodies("orders", price)
		r.wantBodies("orders.parked", append(numbers(10, func(i int) bool { return i%3 == 0 }), slices.Repeat([]string{"again"}, back)...))
		want := map[string]any{"own": "kept", consumer.HeaderFirstFailed: failedAt.Add(-time.Minute)}
		for _, m := range r.server.Messages("orders") {
			if diff := cmp.Diff(want, m.Headers); diff != "" || m.MessageID == "" || m.Transient {
				r.Errorf("%+v\n%s", m, diff)
			}
		}
	})
}

// What cannot be published stays where it is, with all others that are meant retried.
func TestRetryWhatCannotBe(t *testing.T) {
	inRig(t, func(r *rig) {
		put := func(body string, headers map[string]any) {
			r.must(r.server.PublishMessage("orders.parked", brokertest.Message{Body: []byte(body), Headers: headers}))
		}
		put("gone", headers("nowhere", "x"))
		put("unknown", nil)
		put("here", headers("orders.parked", "x"))
		put("raw", map[string]any{consumer.HeaderRaw: []byte("?"), consumer.HeaderQueue: "orders"})
		put("good", headers("orders", "x"))
		failed := map[string]error{}
		tally, err := parked.Retry(r.Context(), r.config, func(e *parked.Entry, err error) { failed[string(e.Message.Body)] = err })
		r.must(err)
		r.wantTally(tally, parked.Tally{Waiting: 5, Seen: 5, Matched: 5, Done: 1, Failed: 4})
		for body, want := range map[string]error{"gone": broker.ErrUnroutable, "unknown": parked.ErrNoOrigin, "raw": parked.ErrIncomplete, "good": nil} {
			if !errors.Is(failed[body], want) {
				r.Errorf("%s: %v", body, failed[body])
			}
		}
		if failed["here"] == nil {
			r.Error("it was published to the queue in which it was")
		}
		r.wantBodies("orders", []string{"good"})
		r.wantBodies("orders.parked", []string{"gone", "unknown", "here", "raw"})
	})
}

// At whatever moment the connection is lost, each message is in at least one of the two queues.
func TestRetryCut(t *testing.T) {
	const n = 5
	for _, method := range []string{"basic.publish", "basic.ack", "channel.close", "basic.consume"} {
		for nth := 1; nth <= n; nth++ {
			t.Run(fmt.Sprint(method, nth), func(t *testing.T) {
				inRig(t, func(r *rig) {
					r.park(n, always("x"))
					r.server.Inject(brokertest.OnMethod(method, nth), brokertest.Reset())
					tally, err := parked.Retry(r.Context(), r.config, nil)
					synctest.Wait()
					have := map[string]bool{}
					for _, body := range slices.Concat(r.bodies("orders"), r.bodies("orders.parked")) {
						have[body] = true
					}
					if len(have) != n {
						r.Errorf("%v (%+v, %v)", have, tally, err)
					}
					if left := len(r.bodies("orders.parked")); left > 0 && err == nil && tally.Failed == 0 {
						r.Errorf("%d are left, and nothing was said", left)
					}
				})
			})
		}
	}
}

// Nothing is acknowledged that has no confirm.
func TestRetryStopped(t *testing.T) {
	inRig(t, func(r *rig) {
		r.park(3, always("x"))
		r.server.WithholdConfirms("orders")
		ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
		defer cancel()
		tally, err := parked.Retry(ctx, r.config, nil)
		if err == nil && tally.Failed != 3 || tally.Done != 0 {
			r.Errorf("%+v, %v", tally, err)
		}
		r.wantBodies("orders.parked", numbers(3, all))
	})
}

// Stopped amid its work, it acknowledges what is confirmed: no message is in both queues.
func TestRetryInterrupted(t *testing.T) {
	inRig(t, func(r *rig) {
		const n = 100
		r.park(n, always("x"))
		r.server.Inject(brokertest.OnMethod("basic.consume", 1), brokertest.Limit(brokertest.ToClient, 20_000)) // while they still come
		ctx, cancel := context.WithCancelCause(r.Context())
		stopped := errors.New("stopped")
		r.server.WithholdConfirms("orders")
		time.AfterFunc(time.Second, func() { cancel(stopped) })
		time.AfterFunc(2*time.Second, func() { r.server.ReleaseConfirms("orders") })
		tally, err := parked.Retry(ctx, r.config, func(_ *parked.Entry, err error) {
			if err != nil && !errors.Is(err, stopped) {
				r.Error(err)
			}
		})
		if !errors.Is(err, stopped) || tally.Done == 0 || tally.Done == n {
			r.Errorf("%+v, %v", tally, err)
		}
		origin, left := r.bodies("orders"), r.bodies("orders.parked")
		if len(origin) != tally.Done || len(origin)+len(left) != n {
			r.Errorf("%d at the origin, %d left; %+v", len(origin), len(left), tally)
		}
	})
}

func TestRetryRate(t *testing.T) {
	inRig(t, func(r *rig) {
		r.park(11, always("x"))
		r.config.Every = time.Second
		begin := time.Now()
		_, err := parked.Retry(r.Context(), r.config, nil)
		r.must(err)
		if took := time.Since(begin); took < 10*time.Second || took > 15*time.Second {
			r.Errorf("it took %v", took)
		}
	})
}

// The sink has a message before it is acknowledged, or it stays.
func TestDiscard(t *testing.T) {
	inRig(t, func(r *rig) {
		const n = 600
		r.park(n, every(2, "no stock", "bad price"))
		r.config.Filter.Error = regexp.MustCompile("stock")
		var sunk []string
		calls := 0
		full := errors.New("no space left")
		sink := func(batch []*parked.Entry) error {
			if q, _ := r.server.Queue("orders.parked"); q.Acknowledged > len(sunk) {
				r.Errorf("%d are acknowledged of %d", q.Acknowledged, len(sunk))
			}
			if calls++; calls == 2 {
				return full
			}
			for _, e := range batch {
				sunk = append(sunk, string(e.Message.Body))
			}
			return nil
		}
		tally, err := parked.Discard(r.Context(), r.config, sink)
		if !errors.Is(err, full) || tally.Done != len(sunk) || tally.Done == 0 {
			r.Fatalf("%+v, %v", tally, err)
		}
		left := slices.DeleteFunc(numbers(n, all), func(body string) bool { return slices.Contains(sunk, body) })
		r.wantBodies("orders.parked", left)
		_, err = parked.Discard(r.Context(), r.config, sink)
		r.must(err)
		r.wantBodies("orders.parked", numbers(n, func(i int) bool { return i%2 == 1 }))
		if want := numbers(n, func(i int) bool { return i%2 == 0 }); !slices.Equal(sunk, want) {
			r.Errorf("%q", sunk)
		}
	})
}

// What one costs is told as far as it is known.
func TestLives(t *testing.T) {
	for _, tt := range []struct {
		version, kind string
		first, second parked.Lives
		mayConfigure  bool
	}{
		{"3.10", "classic", parked.LivesKept, parked.LivesKept, true},
		{"3.10", "classic", parked.LivesUnknown, parked.LivesKept, false},
		{"3.10", "quorum", parked.LivesSpent, parked.LivesSpent, true},
		{"3.10", "quorum", parked.LivesUnknown, parked.LivesSpent, false},
		{"4.0", "quorum", parked.LivesSpent, parked.LivesSpent, true},
		{"4.3", "quorum", parked.LivesKept, parked.LivesKept, true},
		{"4.3", "classic", parked.LivesKept, parked.LivesKept, true},
	} {
		t.Run(fmt.Sprintf("%s %s configures %v", tt.version, tt.kind, tt.mayConfigure), func(t *testing.T) {
			inRig(t, func(r *rig) {
				r.config.Queue = "dead"
				r.must(r.server.DeclareQueue("dead", map[string]any{"x-queue-type": tt.kind, "x-max-length": int32(1000)}))
				if !tt.mayConfigure {
					r.must(r.server.SetPermissions("guest", "/", brokertest.Permissions{Read: ".*", Write: ".*"}))
				}
				r.park(3, always("x"))
				for _, want := range []parked.Lives{tt.first, tt.second} {
					tally, err := parked.Look(r.Context(), r.config, func(*parked.Entry) error { return nil })
					r.must(err)
					if tally.Lives != want {
						r.Errorf("%v; want %v", tally.Lives, want)
					}
				}
				r.wantBodies("dead", numbers(3, all))
			}, brokertest.Version(tt.version))
		})
	}
}
