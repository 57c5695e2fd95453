package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

// feeder publishes to one queue, as fast as it is told to, through whichever of the nodes takes it, and tells of each
// message that the broker has confirmed. No id is used twice: what was not confirmed is not sent again.
type feeder struct {
	urls      []string
	queue     string
	every     time.Duration
	confirmed func(id string)

	mu    sync.Mutex // held to pause it
	sent  int
	await atomic.Int64 // messages whose fate is not known yet
	again atomic.Int64 // how often it had to connect again
}

// afterwards is how long a feeder waits for confirms after it was told to end.
const afterwards = 30 * time.Second

func (f *feeder) run(ctx context.Context) error {
	endpoints, err := broker.ParseEndpoints(f.urls...)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		p, err := broker.OpenPublisher(ctx, broker.Plan{Endpoints: endpoints, Name: "feeder of " + f.queue})
		if err == nil {
			f.feed(ctx, p)
			_ = p.Close(context.Background()) // it has failed, or all is confirmed
			f.again.Add(1)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

// feed publishes until that fails or ctx ends. It fails, too, when a message is refused: a channel of RabbitMQ 3.10 that
// was opened while a quorum queue had no leader refuses all of them for good.
func (f *feeder) feed(ctx context.Context, p *broker.Publisher) {
	patient, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var confirms sync.WaitGroup
	defer confirms.Wait()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(afterwards, cancel) })()
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	refused := make(chan struct{}, 1)
	for {
		select {
		case <-tick.C:
		case <-refused:
			return
		case <-ctx.Done():
			return
		}
		id, confirm, err := f.publish(ctx, p)
		if err != nil {
			return
		}
		confirms.Go(func() {
			defer f.await.Add(-1)
			switch err := confirm.Wait(patient); {
			case err == nil:
				f.confirmed(id)
			case errors.Is(err, broker.ErrRefused):
				select {
				case refused <- struct{}{}:
				default:
				}
			}
		})
	}
}

func (f *feeder) publish(ctx context.Context, p *broker.Publisher) (id string, confirm *broker.Confirm, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent++
	id = fmt.Sprintf("%s/%d", f.queue, f.sent)
	confirm, err = p.Publish(ctx, broker.Message{RoutingKey: f.queue, MessageID: id, Body: []byte(id)})
	if err == nil {
		f.await.Add(1)
	}
	return id, confirm, err
}

// flow is what became of the messages of one queue.
type flow struct {
	feeder

	seen   sync.Mutex
	stored map[string]bool // by id: confirmed
	times  map[string]int  // by id: handled
	last   time.Time
	gap    time.Duration // the longest in which nothing was handled
}

func newFlow(queue string, urls ...string) *flow {
	f := &flow{stored: map[string]bool{}, times: map[string]int{}}
	f.feeder = feeder{urls: urls, queue: queue, every: 20 * time.Millisecond, confirmed: func(id string) {
		f.seen.Lock()
		defer f.seen.Unlock()
		f.stored[id] = true
	}}
	return f
}

func (f *flow) handle(_ context.Context, d *consumer.Delivery) error {
	f.seen.Lock()
	defer f.seen.Unlock()
	f.times[d.MessageID]++
	now := time.Now()
	if !f.last.IsZero() {
		f.gap = max(f.gap, now.Sub(f.last))
	}
	f.last = now
	return nil
}

// handled is how many messages were, each counted once.
func (f *flow) handled() int {
	f.seen.Lock()
	defer f.seen.Unlock()
	return len(f.times)
}

// missing are those that were confirmed, and not handled.
func (f *flow) missing() (ids []string) {
	f.seen.Lock()
	defer f.seen.Unlock()
	for id := range f.stored {
		if f.times[id] == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// longest is the longest gap since the last call.
func (f *flow) longest() time.Duration {
	f.seen.Lock()
	defer f.seen.Unlock()
	gap := max(f.gap, time.Since(f.last))
	f.gap, f.last = 0, time.Now()
	return gap
}

func (f *flow) String() string {
	f.seen.Lock()
	defer f.seen.Unlock()
	twice := 0
	for _, times := range f.times {
		twice += times - 1
	}
	return fmt.Sprintf("%s: %d confirmed, %d handled, %d more than once; its feeder has connected %d times", f.queue, len(f.stored), len(f.times), twice, f.again.Load())
}
