package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortDemonstration plays other faults, and in less time.
func shortDemonstration(out io.Writer, faults ...fault) *demonstration {
	d := newDemonstration(newScreen(term.To(out)))
	d.faults = faults
	d.pause = 100 * time.Millisecond
	d.hurry = d.patience // a busy machine may need longer than a user would wait
	return d
}

func restart(outage time.Duration) fault {
	f := brokerRestart
	f.outage = outage
	return f
}

func TestShort(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	cancel := consumerCancel
	cancel.mend = func(*brokertest.Server) error { return errors.New("mended, though it was overcome") }
	r, err := shortDemonstration(&out, connectionReset, restart(200*time.Millisecond), cancel).run(t.Context(), t.Context())
	if err != nil || r.tally.published == 0 || r.tally.handled != r.tally.published || r.tally.lost != 0 || r.tally.repaired != Failing || len(r.outcomes) != 3 {
		t.Errorf("%v, %+v\n%s", err, r, out.String())
	}
	for _, o := range r.outcomes {
		if !o.overcome || o.noticed == absent || o.handled < o.noticed || o.caughtUp < o.handled {
			t.Errorf("%s: %+v", o.fault, o)
		}
	}
	for _, want := range []string{
		`5 are parked\. everhop parked list demo\.parked --group\n +5 from demo: no such article: \.\.\.\n`,
		`Now it knows them\. everhop parked retry demo\.parked\n`, `5 retried, and handled\.\n`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
	for i, o := range r.outcomes[1:] {
		if former := r.outcomes[i]; former.until != o.began {
			t.Errorf("%s counts until %v, but %s began at %v", former.fault, former.until, o.fault, o.began)
		}
	}
	if o := r.outcomes[1]; o.returned-o.began < 200*time.Millisecond || o.handled < 200*time.Millisecond {
		t.Errorf("the broker was away for less than it should: %+v", o)
	}
}

// Whenever somebody wants to stop, it is done at once, and in order.
func TestInterrupted(t *testing.T) {
	in := func(state fsm.State) func(*history) bool { // or just past it: some states last for less than a look
		return func(h *history) bool {
			return slices.ContainsFunc(h.events, func(e event) bool { return e.To == state })
		}
	}
	tests := []struct {
		name  string
		fault fault
		when  func(*history) bool
	}{
		{"at once", connectionReset, func(*history) bool { return true }},
		{"connecting", connectionReset, in(consumer.Connecting)},
		{"before the fault", connectionReset, func(h *history) bool { return len(h.messages) > 2 }},
		{"reset", connectionReset, in(consumer.Reviving)},
		{"silent", networkSilent, in(consumer.HeartbeatCheck)},
		{"silent, revived", networkSilent, func(h *history) bool {
			return h.measure(outcome{until: forever}).handled != absent
		}},
		{"restarting", restart(time.Hour), in(consumer.Reviving)},
		{"cancelled", consumerCancel, in(consumer.Reviving)},
	}
	for _, tt := range tests {
		for _, twice := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/twice %v", tt.name, twice), func(t *testing.T) {
				t.Parallel()
				var out strings.Builder
				d := shortDemonstration(&out, tt.fault)
				if tt.name == "before the fault" {
					d.pause = time.Hour // however busy the machine is
				}
				soft, stop := context.WithCancel(t.Context())
				hard, kill := context.WithCancel(t.Context())
				defer kill()
				var stopped time.Time
				go func() {
					defer stop()
					d.ledger.await(t.Context(), tt.when)
					stopped = time.Now()
					if twice {
						kill()
					}
				}()
				r, err := d.run(soft, hard)
				<-soft.Done()
				if took := time.Since(stopped); err != nil || took > d.patience || r.tally.lost > 0 {
					t.Errorf("%v after %v: %+v\n%s", err, took, r.tally, out.String())
				}
				if !twice && r.tally.waiting > 0 {
					t.Errorf("%d messages were left behind\n%s", r.tally.waiting, out.String())
				}
				for _, o := range r.outcomes {
					if o.overcome || !r.interrupted {
						t.Errorf("not interrupted: %+v", o)
					}
				}
				thaws := tt.fault.name == networkSilent.name
				if got := strings.Count(out.String(), "The network passes bytes again"); thaws && got != 1 || !thaws && got != 0 {
					t.Errorf("thawed %d times\n%s", got, out.String())
				}
				if state := r.events[len(r.events)-1].To; state != consumer.Disconnected {
					t.Errorf("it ends in %s", state)
				}
			})
		}
	}
}

// Messages that are parked when somebody wants to stop are left there, and said to be.
func TestInterruptedWhileParked(t *testing.T) {
	for name, when := range map[string]func(*history) bool{
		"one is to be parked": func(h *history) bool { return len(h.parked) == 1 },
		"all are":             func(h *history) bool { return len(h.parked) == Failing },
		"one is retried": func(h *history) bool {
			return slices.ContainsFunc(slices.Collect(maps.Values(h.parked)), func(parked bool) bool { return !parked })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			d := shortDemonstration(&out)
			soft, stop := context.WithCancel(t.Context())
			defer stop()
			go func() {
				defer stop()
				_ = d.ledger.await(t.Context(), when)
			}()
			r, err := d.run(soft, t.Context())
			if got := r.tally; err != nil || !r.interrupted || got.lost > 0 || got.waiting > 0 || got.published != got.handled+got.parked {
				t.Errorf("%v: %+v\n%s", err, got, out.String())
			}
			if r.tally.parked == 0 && !strings.Contains(out.String(), "everhop parked retry") { // it may be later than that
				t.Errorf("none is parked, nor were they retried\n%s", out.String())
			}
		})
	}
}

// Who wants to stop is not kept long by messages that cannot be handled.
func TestInterruptedInHurry(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	d := shortDemonstration(&out, fault{name: "away", words: []string{"the consumer is kept away."}, strike: keepAway})
	d.patience, d.hurry = time.Hour, time.Millisecond
	soft, stop := context.WithCancel(t.Context())
	defer stop()
	hard, kill := context.WithTimeout(t.Context(), time.Minute)
	defer kill()
	go func() {
		defer stop()
		d.ledger.await(hard, func(h *history) bool {
			state, since := h.state()
			return state == consumer.Reviving && slices.ContainsFunc(h.messages, func(m message) bool { return m.confirmed > since })
		})
	}()
	r, err := d.run(soft, hard)
	if err != nil || hard.Err() != nil || !r.interrupted || r.tally.waiting == 0 {
		t.Errorf("%v, %v: %+v\n%s", err, hard.Err(), r.tally, out.String())
	}
}

// Nothing is played for nobody.
func TestEndsWithItsOutput(t *testing.T) {
	t.Parallel()
	read, write := io.Pipe()
	read.Close()
	d := shortDemonstration(write, connectionReset)
	d.pause = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := d.run(ctx, ctx)
	if err != nil || ctx.Err() != nil || !r.interrupted || d.screen.failure() != io.ErrClosedPipe {
		t.Errorf("%v, %v, interrupted %v: %v", err, ctx.Err(), r.interrupted, d.screen.failure())
	}
}

// keepAway cuts the consumer off, and lets it not come back. The publisher stays, so it must have come.
func keepAway(s *brokertest.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = s.Await(ctx, func() bool { return len(s.Connections()) == 2 })
	s.RefuseConnections()
	s.Inject(brokertest.Now().Of(name), brokertest.Reset())
}

// What goes wrong beyond what was planned is told, and no success.
func TestFails(t *testing.T) {
	away := fault{name: "away", words: []string{"the consumer is kept away."}, strike: keepAway}
	emptied := away
	emptied.outage, emptied.mend = 300*time.Millisecond, func(s *brokertest.Server) error {
		s.DeleteQueue(queue)
		return s.AcceptConnections()
	}
	forbidden := away
	forbidden.strike = func(s *brokertest.Server) {
		_ = s.Await(t.Context(), func() bool { // the publisher has logged in; it would try for ever
			q, _ := s.Queue(queue)
			return q.Acknowledged > 0
		})
		s.SetPassword("guest", "another one")
		s.Inject(brokertest.Now().Of(name), brokertest.Reset())
	}
	broken := away
	broken.outage, broken.mend = 100*time.Millisecond, func(*brokertest.Server) error { return os.ErrPermission }
	tests := []struct {
		name     string
		fault    fault
		patience time.Duration
		want     []string
		lost     bool
	}{
		{"not overcome", away, time.Second, []string{`^away: not overcome within 1s\n`, `\nmessages not handled, and still in the queue: \d+$`}, false},
		{"messages lost", emptied, time.Second, []string{`\nmessages lost: \d+$`}, true},
		{"consumer gives up", forbidden, time.Minute, []string{`ACCESS_REFUSED`}, false},
		{"broker stays away", broken, time.Minute, []string{`^permission denied`}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			d := shortDemonstration(&out, tt.fault)
			d.patience = tt.patience
			r, err := d.run(t.Context(), t.Context())
			for _, want := range tt.want {
				if !regexp.MustCompile(want).MatchString(fmt.Sprint(err)) {
					t.Errorf("the error is %q, want %s", err, want)
				}
			}
			if (r.tally.lost > 0) != tt.lost {
				t.Errorf("%+v", r.tally)
			}
		})
	}
}
