package main

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

func TestDemoOutcome(t *testing.T) {
	silence := []event{
		transition(10*ms, consumer.Connecting, consumer.Consuming, consumer.Connected),
		transition(2100*ms, consumer.Consuming, consumer.HeartbeatCheck, consumer.DrainTimeout),
		transition(4100*ms, consumer.HeartbeatCheck, consumer.Reviving, consumer.HeartbeatFailed),
		transition(4200*ms, consumer.Reviving, consumer.Reviving, consumer.ReviveFailed),
		transition(4300*ms, consumer.Reviving, consumer.Consuming, consumer.Revived),
	}
	tests := []struct {
		name   string
		events []event
		calls  []call
		want   outcome
	}{
		{"nothing yet", nil, nil, outcome{noticed: absent, handled: absent}},
		{"suspected", silence[:2], nil, outcome{noticed: absent, handled: absent}},
		{"noticed", silence[:4], nil, outcome{noticed: 4000 * ms, handled: absent}},
		{"revived", silence, nil, outcome{noticed: 4000 * ms, handled: absent}},
		{"handled", silence, []call{{4300 * ms, false}, {4400 * ms, false}}, outcome{noticed: 4000 * ms, handled: 4200 * ms}},
		{"what is still handled does not count", silence, []call{{150 * ms, false}, {4299 * ms, true}}, outcome{noticed: 4000 * ms, handled: absent, redelivered: 1}},
		{"redelivered", silence, []call{{99 * ms, true}, {4400 * ms, true}, {9999 * ms, true}, {10000 * ms, true}}, outcome{noticed: 4000 * ms, handled: 4300 * ms, redelivered: 2}},
		{"of the fault before", []event{
			transition(50*ms, consumer.Consuming, consumer.Reviving, consumer.ConnectionError),
			transition(60*ms, consumer.Reviving, consumer.Consuming, consumer.Revived),
		}, []call{{70 * ms, false}, {200 * ms, false}}, outcome{noticed: absent, handled: absent}},
		{"of the fault after", []event{
			transition(10000*ms, consumer.Consuming, consumer.Reviving, consumer.ConnectionError),
			transition(10001*ms, consumer.Reviving, consumer.Consuming, consumer.Revived),
		}, []call{{10002 * ms, false}}, outcome{noticed: absent, handled: absent}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first := incident{fault: "first", began: 100 * ms, ended: absent}
			next := incident{fault: "next", began: 10000 * ms, ended: absent}
			tt.want.incident = first
			h := history{events: tt.events, calls: tt.calls}
			if diff := cmp.Diff(tt.want, h.outcomes([]incident{first, next})[0], cmp.AllowUnexported(outcome{}, incident{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDemoSinceReturn(t *testing.T) {
	restart := incident{began: 10 * time.Second, ended: 12 * time.Second}
	for handled, want := range map[time.Duration]time.Duration{absent: absent, 2500 * ms: 500 * ms, 1900 * ms: 0} {
		if got := (outcome{incident: restart, handled: handled}).sinceReturn(); got != want {
			t.Errorf("%v: %v, want %v", handled, got, want)
		}
	}
}

// The one number that matters must be able to be another one than 0.
func TestDemoTally(t *testing.T) {
	l := newLedger()
	for number := range 6 {
		l.confirmed(number)
	}
	l.handling(6, false)()  // not confirmed, and so not counted as published
	l.handling(0, false)()  // once
	l.handling(1, false)()  // twice
	l.handling(1, true)()   //
	_ = l.handling(2, true) // begun, not ended
	look := func(held int) tally { return l.tally(func() int { return held }) }
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

func TestDemoLedger(t *testing.T) {
	l := newLedger()
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
		if h.allShown() {
			t.Error("who has seen that?")
		}
	})
	awaited := make(chan error, 1)
	go func() { awaited <- l.await(t.Context(), (*history).allShown) }()
	l.shown(machine.Last())
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
