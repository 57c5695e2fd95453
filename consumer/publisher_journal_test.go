package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// picky is a journal that refuses what it is told to.
type picky struct {
	*fsm.Ring
	refuses func(fsm.Event) bool
}

func (r picky) Append(e fsm.Event) error {
	if r.refuses(e) {
		return errors.New("no space")
	}
	return r.Ring.Append(e)
}

func triggersOf(events []fsm.Event) (list []fsm.Trigger) {
	for _, e := range events {
		if e.Kind == fsm.KindTransition {
			list = append(list, e.Trigger)
		}
	}
	return list
}

// The publisher's events are in its own journal, and its observers see them; the consumer's are not among them.
func TestPublisherJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		if err := server.DeclareQueue("q", nil); err != nil {
			t.Fatal(err)
		}
		own, publishers := fsm.NewRing(100), fsm.NewRing(100)
		var mu sync.Mutex
		var seen []fsm.Event
		c, err := consumer.New(consumer.Config{
			URLs: []string{server.URL()}, Dial: server.Dial, Name: "shop", Journal: own, PublisherJournal: publishers,
			PublisherObservers: []func(fsm.Event){func(e fsm.Event) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, e)
			}},
			Subscriptions: []consumer.Subscription{{Queue: "q", Handler: ignore}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(context.Background()) }()
		synctest.Wait()
		if got := publishers.Events(); len(got) != 1 || got[0].Kind != fsm.KindBoot {
			t.Errorf("before its first use: %v", got)
		}
		if err := c.Publisher().Publish(context.Background(), &broker.Message{RoutingKey: "q"}); err != nil {
			t.Error(err)
		}
		server.Inject(brokertest.Now(), brokertest.Reset())
		time.Sleep(time.Second)
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		got := publishers.Events()
		if state, err := fsm.Replay(publish.Lifecycle(), slices.Values(got)); err != nil || state != publish.Disconnected {
			t.Errorf("%s, %v", state, err)
		}
		want := []fsm.Trigger{publish.Connect, publish.Connected, publish.ConnectionError, publish.Revived, publish.Stop}
		if triggers := triggersOf(got); !slices.Equal(triggers, want) || got[0].Machine != "shop (publishing)" {
			t.Errorf("%q: %v", got[0].Machine, triggers)
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(seen, got) {
			t.Errorf("observed\n%v\nand not\n%v", seen, got)
		}
		if _, err := fsm.Replay(consumer.Lifecycle(), slices.Values(own.Events())); err != nil {
			t.Error(err)
		}
	})
}

// A publisher's journal that refuses an event ends Run, as the consumer's own does: nothing could be parked any more.
func TestPublisherJournalRefuses(t *testing.T) {
	for _, tt := range []struct {
		trigger fsm.Trigger
		before  bool // the publisher is used before Run
	}{
		{publish.Connect, false}, {publish.Connect, true}, {publish.Connected, false}, {publish.ConnectionError, false}, {publish.Stop, false},
	} {
		name := string(tt.trigger)
		if tt.before {
			name += " before Run"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				if err := server.DeclareQueue("q", nil); err != nil {
					t.Fatal(err)
				}
				own := fsm.NewRing(100)
				c, err := consumer.New(consumer.Config{
					URLs: []string{server.URL()}, Dial: server.Dial, Journal: own,
					PublisherJournal: picky{fsm.NewRing(100), func(e fsm.Event) bool { return e.Trigger == tt.trigger }},
					Subscriptions:    []consumer.Subscription{{Queue: "q", Handler: ignore}},
				})
				if err != nil {
					t.Fatal(err)
				}
				if tt.before {
					c.Publisher()
					synctest.Wait()
				}
				ended := make(chan error, 1)
				go func() { ended <- c.Run(context.Background()) }()
				synctest.Wait()
				c.Publisher()
				time.Sleep(time.Second)
				server.Inject(brokertest.Now(), brokertest.Reset())
				if tt.trigger == publish.Stop {
					time.Sleep(time.Second)
					if err := c.Stop(context.Background()); err != nil {
						t.Error(err)
					}
				}
				select {
				case err = <-ended:
				case <-time.After(time.Minute):
					t.Fatal("it goes on")
				}
				if !errors.Is(err, fsm.ErrVetoed) || !strings.Contains(err.Error(), "PublisherJournal: ") || strings.Count(err.Error(), "no space") != 1 {
					t.Errorf("Run: %v", err)
				}
				if triggers := triggersOf(own.Events()); triggers[len(triggers)-1] != consumer.Stop {
					t.Errorf("the consumer's own journal: %v", triggers)
				}
			})
		})
	}
}

// Before Run, too, nothing is kept quiet: not in New, and not in Stop.
func TestPublisherJournalRefusesAtOnce(t *testing.T) {
	config := func(refuses func(fsm.Event) bool) consumer.Config {
		return consumer.Config{
			URLs: []string{"amqp://127.0.0.1:1"}, PublisherJournal: picky{fsm.NewRing(100), refuses},
			Subscriptions: []consumer.Subscription{{Queue: "q", Handler: ignore}},
		}
	}
	_, err := consumer.New(config(func(e fsm.Event) bool { return e.Kind == fsm.KindBoot }))
	if !errors.Is(err, fsm.ErrVetoed) || !strings.Contains(err.Error(), "PublisherJournal: ") {
		t.Errorf("New: %v", err)
	}
	c, err := consumer.New(config(func(e fsm.Event) bool { return e.Trigger == publish.Connect }))
	if err != nil {
		t.Fatal(err)
	}
	c.Publisher()
	if err := c.Stop(t.Context()); !errors.Is(err, fsm.ErrVetoed) {
		t.Errorf("Stop before Run: %v", err)
	}
}

// incomparable is a journal that == panics over.
type incomparable struct {
	*fsm.Ring
	_ []int
}

func TestPublisherJournalIsAnother(t *testing.T) {
	ring := fsm.NewRing(100)
	for _, tt := range []struct {
		name            string
		own, publishers fsm.Journal
		wrong           bool
	}{
		{"none", nil, nil, false},
		{"two", fsm.NewRing(100), fsm.NewRing(100), false},
		{"the consumer's alone", ring, nil, false},
		{"the publisher's alone", nil, fsm.NewRing(100), false},
		{"the same", ring, ring, true},
		{"two that cannot be compared", incomparable{Ring: fsm.NewRing(100)}, incomparable{Ring: fsm.NewRing(100)}, false},
	} {
		_, err := consumer.New(consumer.Config{
			URLs: []string{"amqp://127.0.0.1:1"}, Journal: tt.own, PublisherJournal: tt.publishers,
			Subscriptions: []consumer.Subscription{{Queue: "q", Handler: ignore}},
		})
		if (err != nil) != tt.wrong || tt.wrong && !strings.Contains(err.Error(), "PublisherJournal: ") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
