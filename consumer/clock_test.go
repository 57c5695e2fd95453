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

// freezer is a journal that holds up whoever appends to it, once.
type freezer struct {
	*fsm.Ring
	at   string // a trigger, or a note's name
	hold time.Duration
}

func (f *freezer) Append(e fsm.Event) error {
	if f.at == string(e.Trigger) || f.at == e.Name {
		time.Sleep(f.hold)
		f.hold = 0
	}
	return f.Ring.Append(e)
}

// A journal that is slow is no standstill.
func TestSlowJournalIsNoStandstill(t *testing.T) {
	for name, slow := range map[string]struct {
		at   string
		hold time.Duration
	}{
		"none":      {string(HeartbeatOK), 0},
		"short":     {string(HeartbeatOK), 500 * time.Millisecond},
		"long":      {string(HeartbeatOK), 50 * time.Second},
		"the first": {string(Connect), 50 * time.Second},
		"a note":    {NotePaused, 50 * time.Second},
	} {
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
				journal := &freezer{fsm.NewRing(0), slow.at, slow.hold}
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
				time.Sleep(time.Minute)
				if err := c.Subscription("q").Pause(); err != nil {
					t.Error(err)
				}
				time.Sleep(4 * time.Minute)
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
