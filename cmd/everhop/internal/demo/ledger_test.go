package demo

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

const ms = time.Millisecond

func transition(at time.Duration, from, to fsm.State, trigger fsm.Trigger) event {
	return event{fsm.Event{Kind: fsm.KindTransition, From: from, To: to, Trigger: trigger}, at}
}

func TestOutcome(t *testing.T) {
	silence := []event{
		transition(10*ms, consumer.Connecting, consumer.Consuming, consumer.Connected),
		transition(2100*ms, consumer.Consuming, consumer.HeartbeatCheck, consumer.DrainTimeout),
		transition(4100*ms, consumer.HeartbeatCheck, consumer.Reviving, consumer.HeartbeatFailed),
		transition(4200*ms, consumer.Reviving, consumer.Reviving, consumer.ReviveFailed),
		transition(4300*ms, consumer.Reviving, consumer.Consuming, consumer.Revived),
	}
	again := []call{{4300 * ms, false}, {4400 * ms, false}}
	tests := []struct {
		name                       string
		events                     []event
		calls                      []call
		messages                   []message
		noticed, handled, caughtUp time.Duration
		redelivered                int
	}{
		{"nothing yet", nil, nil, nil, absent, absent, absent, 0},
		{"suspected", silence[:2], nil, nil, absent, absent, absent, 0},
		{"noticed", silence[:4], nil, nil, 4000 * ms, absent, absent, 0},
		{"revived", silence, nil, nil, 4000 * ms, absent, absent, 0},
		{"what is still handled does not count", silence, []call{{150 * ms, false}, {4299 * ms, true}}, nil, 4000 * ms, absent, absent, 1},
		{"handled, and nothing waited", silence, again, []message{{50 * ms, 60 * ms, 1}, {4300 * ms, absent, 0}}, 4000 * ms, 4200 * ms, 4200 * ms, 0},
		{"in flight", silence, again, []message{{50 * ms, absent, 0}, {60 * ms, 4500 * ms, 1}}, 4000 * ms, 4200 * ms, absent, 0},
		{"published meanwhile", silence, again, []message{{50 * ms, 60 * ms, 1}, {4000 * ms, absent, 0}}, 4000 * ms, 4200 * ms, absent, 0},
		{"caught up", silence, again, []message{{absent, absent, 0}, {60 * ms, 7800 * ms, 2}, {4000 * ms, 7700 * ms, 1}, {5000 * ms, 9000 * ms, 1}}, 4000 * ms, 4200 * ms, 7700 * ms, 0},
		{"caught up too late", silence, again, []message{{60 * ms, 10000 * ms, 1}}, 4000 * ms, 4200 * ms, absent, 0},
		{"redelivered", silence, []call{{99 * ms, true}, {4400 * ms, true}, {9999 * ms, true}, {10000 * ms, true}}, nil, 4000 * ms, 4300 * ms, 4300 * ms, 2},
		{"of the fault before", []event{
			transition(50*ms, consumer.Consuming, consumer.Reviving, consumer.ConnectionError),
			transition(60*ms, consumer.Reviving, consumer.Consuming, consumer.Revived),
		}, []call{{70 * ms, false}, {200 * ms, false}}, nil, absent, absent, absent, 0},
		{"of the fault after", []event{
			transition(10000*ms, consumer.Consuming, consumer.Reviving, consumer.ConnectionError),
			transition(10001*ms, consumer.Reviving, consumer.Consuming, consumer.Revived),
		}, []call{{10002 * ms, false}}, nil, absent, absent, absent, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			played := outcome{fault: "first", began: 100 * ms, until: 10000 * ms, returned: absent}
			want := played
			want.noticed, want.handled, want.caughtUp, want.redelivered = tt.noticed, tt.handled, tt.caughtUp, tt.redelivered
			h := history{events: tt.events, calls: tt.calls, messages: tt.messages}
			if got := h.measure(played); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// The one number that matters must be able to be another one than 0.
func TestTally(t *testing.T) {
	l := newLedger(func(fsm.Event) {})
	for number := range 6 {
		l.confirmed(number)
	}
	l.handling(6, false)()  // not confirmed, and so not counted as published
	l.handling(0, false)()  // once
	l.handling(1, false)()  // twice
	l.handling(1, true)()   //
	_ = l.handling(2, true) // begun, not ended
	look := func(queued int) tally { return l.tally(func() held { return held{queued: queued} }) }
	want := tally{published: 6, handled: 2, waiting: 4, redelivered: 2, repeated: 1}
	for held, lost := range map[int]int{4: 0, 9: 0, 3: 1, 0: 4} {
		want.waiting, want.lost = 4-lost, lost
		got := look(held)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(tally{})); diff != "" {
			t.Errorf("the broker holds %d: %s", held, diff)
		}
		for _, interrupted := range []bool{false, true} {
			if err := got.judge(interrupted); (err != nil) != (lost > 0 || !interrupted) {
				t.Errorf("%+v, interrupted %v: %v", got, interrupted, err)
			}
		}
	}
	if err := (tally{published: 2, handled: 2, repeated: 2}).judge(false); err != nil {
		t.Error(err)
	}
}

// What is parked is neither lost nor waited for, until it is retried.
func TestTallyParked(t *testing.T) {
	l := newLedger(func(fsm.Event) {})
	for number := range 3 {
		l.confirmed(number)
	}
	l.handling(0, false)()
	l.failed(1)
	l.failed(2)
	check := func(there held, want tally, waitedFor, fine bool) {
		t.Helper()
		got := l.tally(func() held { return there })
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(tally{})); diff != "" {
			t.Error(diff)
		}
		if err := got.judge(false); (err == nil) != fine {
			t.Errorf("%+v: %v", got, err)
		}
		l.look(func(h *history) {
			if (h.handledUntil(forever) == absent) != waitedFor {
				t.Errorf("%+v: waited for: %v", got, !waitedFor)
			}
		})
	}
	check(held{parked: 2}, tally{published: 3, handled: 1, parked: 2}, false, false)
	check(held{queued: 1, parked: 1}, tally{published: 3, handled: 1, waiting: 1, parked: 1}, false, false)
	check(held{parked: 1}, tally{published: 3, handled: 1, parked: 1, lost: 1}, false, false)
	l.retried(1)
	l.retried(2)
	check(held{queued: 2, parked: 2}, tally{published: 3, handled: 1, parked: 2}, true, false)
	l.handling(1, false)()
	l.handling(2, false)()
	check(held{}, tally{published: 3, handled: 3, repaired: 2}, false, true)
}

func TestLedger(t *testing.T) {
	l := newLedger(func(fsm.Event) {})
	if _, ok := l.Last(); ok {
		t.Error("it begins with an event")
	}
	machine, err := fsm.New(consumer.Lifecycle(), fsm.Options{Journal: l})
	if err != nil {
		t.Fatal(err)
	}
	for _, trigger := range []fsm.Trigger{consumer.Connect, consumer.Connected, consumer.ConnectionError, consumer.ReviveFailed} {
		if _, err := machine.Fire(trigger, fsm.Evidence{}); err != nil {
			t.Fatal(err)
		}
	}
	if last, ok := l.Last(); !ok || last != machine.Last() {
		t.Errorf("the last event is %v", last)
	}
	l.look(func(h *history) {
		if state, since := h.state(); state != consumer.Reviving || since != h.events[2].at {
			t.Errorf("%s since %v: a failed attempt is no new state", state, since)
		}
	})
	awaited := make(chan error, 1)
	go func() {
		awaited <- l.await(t.Context(), func(h *history) bool { return h.handledUntil(forever) == absent })
	}()
	l.confirmed(0)
	if err := <-awaited; err != nil {
		t.Error(err)
	}
	why := errors.New("no time")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := l.await(ctx, (*history).consuming); !errors.Is(err, why) {
		t.Error(err)
	}
}
