package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// vandals are handlers that overwrite their deliveries, and go on with that when they have returned.
type vandals struct {
	*testing.T
	kept chan *consumer.Delivery

	mu    sync.Mutex
	calls map[string]int
	done  map[string]int // handled to the end
	order map[string]int // by key: the last that was handled for the first time
	stale []consumer.Stale
}

const (
	vandalKeys    = 4
	vandalMessage = 400
)

// vandalise overwrites what it is given until the test ends. The race detector sees who reads that.
func (v *vandals) vandalise() {
	var all []*consumer.Delivery
	for {
		select {
		case d, ok := <-v.kept:
			if !ok {
				return
			}
			all = append(all, d)
		case <-time.After(50 * time.Microsecond):
		}
		for _, d := range all[max(0, len(all)-100):] {
			*d = consumer.Delivery{DeliveryTag: 1 << 40, Queue: "vandalised", MessageID: "vandalised", Redelivered: true}
		}
	}
}

// handle fails the first time for each tenth message, and always for each hundredth.
func (v *vandals) handle(_ context.Context, d *consumer.Delivery) error {
	id, body := d.MessageID, string(d.Body)
	var number int
	fmt.Sscan(strings.TrimPrefix(id, "id "), &number)
	if body != "body of "+id || d.Queue != "work" {
		v.Errorf("%q has the body %q, and came from %q", id, body, d.Queue)
	}
	*d = consumer.Delivery{}
	v.kept <- d
	<-time.After(time.Duration(number%5) * time.Millisecond) // the work
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls[id]++
	key := fmt.Sprint(number % vandalKeys)
	if v.calls[id] == 1 && number < v.order[key] {
		v.Errorf("%d was handled after %d, and their key is the same", number, v.order[key])
	}
	v.order[key] = max(v.order[key], number)
	if number%100 == 0 || number%10 == 0 && v.calls[id] == 1 {
		return errors.New("it fails")
	}
	v.done[id]++
	return nil
}

// Whatever a handler does with its delivery: messages are acknowledged, kept in order, recognised, parked, told
// of as stale and logged as they came.
func TestHandlersMayOverwriteTheirDeliveries(t *testing.T) {
	t.Parallel()
	server := brokertest.NewServer(t)
	err := server.DeclareQueue("work", nil)
	for i := range vandalMessage {
		id := fmt.Sprint("id ", i)
		err = errors.Join(err, server.PublishMessage("work", brokertest.Message{Body: []byte("body of " + id), MessageID: id}))
	}
	if err != nil {
		t.Fatal(err)
	}
	v := &vandals{T: t, kept: make(chan *consumer.Delivery), calls: map[string]int{}, done: map[string]int{}, order: map[string]int{}}
	var vandal sync.WaitGroup
	vandal.Go(v.vandalise)
	log, journal := &lines{}, &book{}
	c, err := consumer.New(consumer.Config{
		URLs: []string{server.URL()}, Logger: zerolog.New(log).Level(zerolog.WarnLevel), Journal: journal,
		ConsumerTimeout: 10 * time.Second, // how long they have been at it is looked at often; what waits longer may lose its place
		OnStale: func(s consumer.Stale) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.stale = append(v.stale, s)
		},
		Subscriptions: []consumer.Subscription{{
			Queue: "work", Handler: v.handle, Concurrency: 4, Dedup: consumer.Dedup{Window: 10 * vandalMessage},
			OrderingKey: func(d *consumer.Delivery) string { // and from here on it is not needed for that any more
				var number int
				fmt.Sscan(strings.TrimPrefix(d.MessageID, "id "), &number)
				return fmt.Sprint(number % vandalKeys)
			},
			Retry:        consumer.Retry{Attempts: 2, Backoff: consumer.Backoff{Initial: time.Millisecond, Max: time.Millisecond}},
			RequeuePause: time.Millisecond,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	for nth := range 3 {
		v.await(server, func() bool { return len(v.done) >= (nth+1)*vandalMessage/5 })
		<-server.Inject(brokertest.Now(), brokertest.Reset()).Played
	}
	v.await(server, func() bool {
		q, _ := server.Queue("work")
		return q.Ready+q.Unacknowledged == 0
	})
	if err := errors.Join(c.Stop(context.Background()), <-ended); err != nil {
		t.Error(err)
	}
	close(v.kept)
	vandal.Wait()
	v.check(server, log.String(), journal.Events())
}

func (v *vandals) await(server *brokertest.Server, condition func() bool) {
	v.Helper()
	ctx, cancel := context.WithTimeout(v.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		v.mu.Lock()
		met := condition()
		v.mu.Unlock()
		if met {
			return
		}
		<-time.After(time.Millisecond)
	}
	v.Fatalf("%d messages were handled, and nothing happens: %+v", len(v.done), server.Queues())
}

func (v *vandals) check(server *brokertest.Server, log string, events []fsm.Event) {
	poison := vandalMessage / 100
	if len(v.done) != vandalMessage-poison {
		v.Errorf("%d were handled, want %d", len(v.done), vandalMessage-poison)
	}
	for id, times := range v.done {
		if times != 1 {
			v.Errorf("%s was handled %d times", id, times)
		}
	}
	parked := map[string]bool{} // one may be parked twice: its acknowledgement was lost with a connection
	for _, m := range server.Messages("work.parked") {
		parked[m.MessageID] = true
		if string(m.Body) != "body of "+m.MessageID || m.Headers[consumer.HeaderQueue] != "work" {
			v.Errorf("parked is %q of %q, with %v", m.Body, m.MessageID, m.Headers)
		}
	}
	if len(parked) != poison {
		v.Errorf("%d are parked, want %d", len(parked), poison)
	}
	for _, s := range v.stale {
		if s.Queue != "work" || !strings.HasPrefix(s.MessageID, "id ") || s.DeliveryTag == 0 || s.DeliveryTag > 1<<20 || s.Generation == 0 {
			v.Errorf("stale is %+v", s)
		}
	}
	if strings.Contains(log, "vandalised") || !strings.Contains(log, `"message_id":"id 0"`) {
		v.Errorf("the log:\n%s", log)
	}
	for _, e := range events {
		if strings.Contains(fmt.Sprint(e), "vandalised") {
			v.Errorf("an event is %+v", e)
		}
	}
}
