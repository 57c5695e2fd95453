package consumer

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/fsm"
)

func TestClockKnowsStandstill(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		wall, mono  time.Duration // since the last look, when 2 s were to pass
		late, ahead time.Duration
	}{
		"on time":                   {2 * s, 2 * s, 0, 0},
		"woken early":               {s / 2, s / 2, 0, 0},
		"a busy machine":            {2*s + 900*time.Millisecond, 2*s + 900*time.Millisecond, 0, 0},
		"stopped (SIGSTOP)":         {50 * s, 50 * s, 48 * s, 0},
		"suspended":                 {3600 * s, 2 * s, 0, 3598 * s},
		"suspended, woken late too": {3610 * s, 12 * s, 10 * s, 3598 * s},
		"clock set ahead":           {62 * s, 2 * s, 0, 60 * s},
		"clock set back":            {-58 * s, 2 * s, 0, -60 * s},
		"clock slewed":              {2*s + time.Millisecond, 2 * s, 0, 0},
		"stopped, clock set back":   {-10 * s, 50 * s, 48 * s, -60 * s},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Unix(1_800_000_000, 0)
			clock := clock{due: 2 * s, wall: start}
			late, ahead := clock.look(start.Add(c.wall), c.mono)
			if late != c.late || ahead != c.ahead {
				t.Errorf("late by %v, ahead by %v; want %v, %v", late, ahead, c.late, c.ahead)
			}
			if late, ahead := clock.look(start.Add(c.wall+s/2), c.mono+s/2); late != 0 || ahead != 0 {
				t.Errorf("told again: %v, %v", late, ahead)
			}
		})
	}
}

// What the supervisor does itself is no standstill, however long that takes.
func TestClockExcusesWork(t *testing.T) {
	clock := clock{due: 2 * time.Second}
	clock.excuse(time.Minute)
	if late, _ := clock.look(time.Time{}.Add(time.Minute+time.Second/2), time.Minute+time.Second/2); late != 0 {
		t.Errorf("late by %v", late)
	}
	if late, _ := clock.look(time.Time{}.Add(2*time.Minute), 2*time.Minute); late == 0 {
		t.Error("what came after it is no standstill either")
	}
}

// freezer is a journal that holds up whoever appends to it, once.
type freezer struct {
	*fsm.Ring
	trigger fsm.Trigger
	hold    time.Duration
}

func (f *freezer) Append(e fsm.Event) error {
	if e.Trigger == f.trigger {
		time.Sleep(f.hold)
		f.hold = 0
	}
	return f.Ring.Append(e)
}

// A journal that is slow is no standstill.
func TestSlowJournalIsNoStandstill(t *testing.T) {
	for name, hold := range map[string]time.Duration{"none": 0, "short": 500 * time.Millisecond, "long": 50 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(time.Second)
				server, err := brokertest.Start(brokertest.Config{InMemory: true})
				if err != nil {
					t.Fatal(err)
				}
				defer server.Close()
				if err := server.DeclareQueue("q", nil); err != nil {
					t.Fatal(err)
				}
				journal := &freezer{fsm.NewRing(0), HeartbeatOK, hold}
				c, err := New(Config{
					URLs: []string{server.URL()}, Journal: journal,
					Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
						return server.Dial(ctx, network, address)
					},
					Subscriptions: []Subscription{{Queue: "q", Handler: func(context.Context, *Delivery) error { return nil }}},
				})
				if err != nil {
					t.Fatal(err)
				}
				ran := make(chan error)
				go func() { ran <- c.Run(context.WithoutCancel(t.Context())) }()
				time.Sleep(5 * time.Minute)
				if err := c.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				if err := <-ran; err != nil {
					t.Error(err)
				}
				var told []int64
				for _, e := range journal.Events() {
					if e.Name == NoteStalled {
						told = append(told, EvidenceOf(e).StalledMS)
					}
				}
				if len(told) > 0 {
					t.Errorf("standstills of %v ms", told)
				}
			})
		})
	}
}
