package publish_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// rig is a publisher and a broker in synthetic time.
type rig struct {
	*testing.T
	server *brokertest.Server
	p      *publish.Publisher
	ended  chan error
	mu     sync.Mutex
	events []fsm.Event

	stood, ahead atomic.Int64 // for how long the process stood still, and by how much the wall clock was set ahead
}

func inRig(t *testing.T, edit func(*publish.Config), play func(*rig), options ...brokertest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, server: brokertest.NewInMemoryServer(t, options...), ended: make(chan error, 1)}
		config := publish.Config{URLs: []string{r.server.URL()}, Dial: r.server.Dial, Name: "rig", Observers: []func(fsm.Event){r.see}}
		if edit != nil {
			edit(&config)
		}
		var err error
		if r.p, err = publish.New(config); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r.p.SetReading(func() (time.Time, time.Duration) {
			now, stood := time.Now(), time.Duration(r.stood.Load())
			return now.Round(0).Add(stood + time.Duration(r.ahead.Load())), now.Sub(began) + stood
		})
		go func() { r.ended <- r.p.Run(context.Background()) }()
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_ = r.p.Stop(ctx)
		}()
		play(r)
	})
}

func (r *rig) see(e fsm.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// triggers are those of the transitions so far.
func (r *rig) triggers() (list []fsm.Trigger) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == fsm.KindTransition {
			list = append(list, e.Trigger)
		}
	}
	return list
}

func (r *rig) notes() (list []fsm.Event) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == fsm.KindNote {
			list = append(list, e)
		}
	}
	return list
}

// standStill has the process stand still: all of its clocks have gone on.
func (r *rig) standStill(d time.Duration) { r.stood.Add(int64(d)) }

// setAhead has the wall clock alone go on, as when the machine was suspended; or back.
func (r *rig) setAhead(d time.Duration) { r.ahead.Add(int64(d)) }

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) declare(queues ...string) {
	r.Helper()
	for _, queue := range queues {
		r.must(r.server.DeclareQueue(queue, nil))
	}
}

func to(queue, body string) *broker.Message {
	return &broker.Message{RoutingKey: queue, Body: []byte(body)}
}

func (r *rig) within(d time.Duration, m *broker.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return r.p.Publish(ctx, m)
}

func (r *rig) send(m *broker.Message) *publish.Confirmation {
	r.Helper()
	c, err := r.p.Send(context.Background(), m)
	r.must(err)
	return c
}

func (r *rig) flush(d time.Duration) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if err := r.p.Flush(ctx); err != nil {
		r.Errorf("after %v: %v, %+v", d, err, r.p.Stats())
	}
}

// bodies are what a queue holds, in order.
func (r *rig) bodies(queue string) (bodies []string) {
	for _, m := range r.server.Messages(queue) {
		bodies = append(bodies, string(m.Body))
	}
	return bodies
}

// wantOrder has a queue hold each of n bodies, and the first of each in order.
func (r *rig) wantOrder(queue string, n int) (twice int) {
	r.Helper()
	seen, next := map[string]bool{}, 0
	for _, body := range r.bodies(queue) {
		if seen[body] {
			twice++
			continue
		}
		seen[body] = true
		if want := fmt.Sprint(next); body != want {
			r.Fatalf("%s: %s comes first, want %s", queue, body, want)
		}
		next++
	}
	if next != n {
		r.Errorf("%s holds %d, want %d", queue, next, n)
	}
	return twice
}

func (r *rig) wantErr(err, want error) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Errorf("error %v, want %v", err, want)
	}
}
