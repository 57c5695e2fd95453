package consumer

import (
	"bytes"
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
)

// What becomes of each header that a broker adds is written down twice, here and in notOurs: a change is one of two.
func TestFateOfHeaders(t *testing.T) {
	fates := map[string]fate{
		"x-death": dropped, "x-delivery-count": dropped, "x-acquired-count": dropped, "x-stream-offset": dropped,
		"x-everhop-publish-id": dropped, "CC": renamed,
		"x-first-death-queue": kept, "x-first-death-reason": kept, "x-first-death-exchange": kept,
		"x-last-death-queue": kept, "x-last-death-reason": kept, "x-last-death-exchange": kept,
		// Of others, and of applications.
		"x-received-from": kept, "x-shovelled": kept, "x-delay": kept, "x-opt-anything": kept, "x-death-of-a-salesman": kept,
		"X-Death": kept, "cc": kept, "x-": kept, "": kept, "x-everhop-attempt": kept,
	}
	for _, row := range notOurs {
		if name := strings.TrimSuffix(row.name, "*"); name == row.name && fates[name] != row.fate || name != row.name && fateOf(name+"anything") != row.fate {
			t.Errorf("%s: %d", row.name, row.fate)
		}
	}
	r := newRepublisher(nil, zerolog.Nop())
	for name, want := range fates {
		d := &Delivery{Headers: map[string]any{name: "value"}}
		m := copyOf(d, r.headers(d, itFailed, nothingNew))
		headers := map[string]any{name: "value"}
		switch want {
		case dropped:
			headers = map[string]any{}
		case renamed:
			headers = map[string]any{HeaderCC: "value"}
		}
		if !reflect.DeepEqual(m.Headers, headers) {
			t.Errorf("%q: %v, want %v", name, m.Headers, headers)
		}
	}
}

// A message without an id stays without one, whatever has become of it in between.
func TestParkedWithoutAnID(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		d := delivered("x")
		d.MessageID = ""
		for round := range 2 {
			if err := r.park(t.Context(), d, "parked", itFailed); err != nil { // first it is returned, since there is no queue
				t.Fatal(err)
			}
			m := server.Messages("parked")[round]
			id, _ := m.Headers[broker.HeaderPublishID].(string)
			if m.MessageID != "" || id == "" || id == d.Headers[broker.HeaderPublishID] {
				t.Errorf("round %d: id %q, headers %v", round, m.MessageID, m.Headers)
			}
			d.Headers = m.Headers
		}
		if n := server.Count("basic.publish"); n != 3 {
			t.Errorf("published %d times", n)
		}
	})
}

// Where ours fit into no frame with the message's own, there are fewer.
func TestHeadersThatHardlyFit(t *testing.T) {
	const frame = 131_072
	most, few := []string{HeaderError, HeaderAttempts, HeaderQueue, HeaderUserID}, []string{HeaderAttempts, HeaderQueue, HeaderUserID}
	for _, test := range []struct {
		name   string
		room   int // for ours
		parked []string
		delays bool
	}{
		{"all", 2000, most, true},
		{"few", 1000, few, true},
		{"none", 150, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
				var log bytes.Buffer
				r.logger = zerolog.New(&log)
				declareIn(t, server, "work", nil)
				d := delivered("x")
				d.UserID = "somebody"
				d.Headers = map[string]any{"own": strings.Repeat("x", frame-test.room), "x-death": strings.Repeat("x", 10_000), HeaderHost: "earlier"}
				why := itFailed
				why.reason = strings.Repeat("e", maxErrorText)
				if err := r.park(t.Context(), d, "parked", why); err != nil {
					t.Fatal(err)
				}
				headers := server.Messages("parked")[0].Headers
				var got []string
				for _, name := range most {
					if _, there := headers[name]; there {
						got = append(got, name)
					}
				}
				if !reflect.DeepEqual(got, test.parked) || headers["own"] != d.Headers["own"] || headers[HeaderHost] == "earlier" {
					t.Errorf("got %q, %d headers", got, len(headers))
				}
				if strings.Contains(log.String(), `"level":"warn"`) != (test.name != "all") {
					t.Errorf("the log: %s", log.String())
				}
				if err := r.delay(t.Context(), d, time.Second, why); (err == nil) != test.delays || err != nil && !errors.Is(err, broker.ErrHeaderTooLarge) {
					t.Errorf("delayed: %v", err)
				}
			})
		})
	}
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) { // what it came with fits again
		declareIn(t, server, "work", nil)
		d := delivered("x")
		d.Headers = map[string]any{
			"own": strings.Repeat("x", frame-150), HeaderQueue: "orders", HeaderParkingQueue: "work", HeaderHost: "earlier",
		}
		if err := r.park(t.Context(), d, "parked", itFailed); err != nil {
			t.Fatal(err)
		}
		headers := server.Messages("parked")[0].Headers
		if headers[HeaderQueue] != "orders" || headers[HeaderParkingQueue] != "work" || len(headers) != 3 {
			t.Errorf("%d headers: %v, %v", len(headers), headers[HeaderQueue], headers[HeaderParkingQueue])
		}
	})
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		d := delivered("x")
		d.Headers = map[string]any{"own": strings.Repeat("x", frame)}
		if err := r.park(context.Background(), d, "parked", itFailed); !errors.Is(err, broker.ErrHeaderTooLarge) {
			t.Errorf("what fits into no frame: %v", err)
		}
	})
}

func TestAttempts(t *testing.T) {
	tests := []struct {
		header any
		want   int
	}{
		{nil, 0}, {int64(3), 3}, {int32(3), 3}, {int16(3), 3}, {int8(3), 3}, {int(3), 3},
		{uint32(3), 3}, {uint16(3), 3}, {uint8(3), 3}, {uint64(3), 3},
		{int64(-3), 0}, {int64(math.MaxInt64), math.MaxInt32}, {uint64(math.MaxUint64), math.MaxInt32},
		{"3", 0}, {3.0, 0}, {true, 0}, {time.Unix(3, 0), 0}, {[]any{int64(3)}, 0},
	}
	for _, test := range tests {
		d := &Delivery{Headers: map[string]any{HeaderAttempts: test.header}}
		if got := Attempts(d); got != test.want {
			t.Errorf("%T %v: %d, want %d", test.header, test.header, got, test.want)
		}
	}
	if got := Attempts(&Delivery{}); got != 0 {
		t.Errorf("no headers: %d", got)
	}
	for of, want := range map[any]int{"work": 3, "another": 0, "": 0, 7: 3} {
		d := &Delivery{Queue: "work", Headers: map[string]any{HeaderAttempts: int64(3), HeaderQueue: of}}
		if got := Attempts(d); got != want {
			t.Errorf("of queue %v: %d, want %d", of, got, want)
		}
	}
}

func TestErrorText(t *testing.T) {
	const half = maxErrorText / 2
	tests := []struct{ name, text, want string }{
		{"short", "no", "no"},
		{"as long as may be", strings.Repeat("a", maxErrorText), strings.Repeat("a", maxErrorText)},
		{"longer", strings.Repeat("a", half) + "b" + strings.Repeat("c", half), strings.Repeat("a", half-5) + " ... " + strings.Repeat("c", half)},
		{"amid runes", strings.Repeat("a", half-6) + "€ and €" + strings.Repeat("b", half-1), strings.Repeat("a", half-6) + " ... " + strings.Repeat("b", half-1)},
		{"invalid", "a\xffb", "a\uFFFDb"},
		{"invalid at the end", strings.Repeat("a", maxErrorText-1) + "\xff", strings.Repeat("a", half-5) + " ... " + strings.Repeat("a", half-3) + "\uFFFD"},
	}
	for _, test := range tests {
		if got := errorText(test.text); got != test.want || !utf8.ValidString(got) {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

// What another queue's handler has failed begins anew here, in place, too, and whoever publishes it on from here says so.
func TestAttemptsOfAnotherQueue(t *testing.T) {
	var calls []int
	dispatching(t, Subscription{
		Handler: func(_ context.Context, d *Delivery) error {
			calls = append(calls, Attempts(d))
			if of := d.Headers[HeaderQueue]; len(calls) > 1 && of != "work" {
				t.Errorf("the attempts are those of queue %v", of)
			}
			if len(calls) < 3 {
				return errFails
			}
			return nil
		},
	}, func(t *testing.T, _ *dispatcher, s *plainSource) {
		s.deliveries <- &Delivery{DeliveryTag: 1, Queue: "work", Headers: map[string]any{HeaderAttempts: int64(9), HeaderQueue: "another"}}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(calls, []int{0, 1, 2}) {
			t.Errorf("attempts before each call: %v", calls)
		}
	})
}
