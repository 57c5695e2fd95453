package consumer_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/everhop/everhop/consumer"
)

const neighbourQueue = "neighbour"

// neighbour is a stage's second subscription, of another queue, which gets a message every 100 ms. It measures the
// longest time in which none was handled: what goes wrong with the first subscription is not to be noticed here.
// A nil neighbour is none.
type neighbour struct {
	s    *stage
	over chan struct{}

	mu        sync.Mutex
	published int
	watched   bool
	last      time.Time
	gap       time.Duration
}

func newNeighbour(s *stage) *neighbour { return &neighbour{s: s, over: make(chan struct{})} }

func (n *neighbour) subscription() consumer.Subscription {
	return consumer.Subscription{
		Queue: neighbourQueue, Handler: n.handle,
		Prefetch: 256, // more than come while the broker does not read
	}
}

// feed publishes until the end.
func (n *neighbour) feed(arguments map[string]any) {
	if err := n.s.server.DeclareQueue(neighbourQueue, arguments); err != nil {
		n.s.Fatal(err)
	}
	n.s.Cleanup(n.end)
	go func() {
		for {
			select {
			case <-n.over:
				return
			case <-time.After(feed):
			}
			n.publish()
		}
	}()
}

func (n *neighbour) publish() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.s.server.Publish(neighbourQueue, fmt.Sprint("neighbour ", n.published+1)) == nil {
		n.published++
	}
}

func (n *neighbour) handle(_ context.Context, d *consumer.Delivery) error {
	n.mu.Lock()
	if n.watched {
		n.gap = max(n.gap, time.Since(n.last))
		n.last = time.Now()
	}
	n.mu.Unlock()
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	n.s.note(d)
	return nil
}

// watch begins to measure, when Run begins.
func (n *neighbour) watch() {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.watched, n.last = true, time.Now()
}

// leave ends to measure, when the consumer stops.
func (n *neighbour) leave() {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watched {
		n.watched, n.gap = false, max(n.gap, time.Since(n.last))
	}
}

// end is that of the messages.
func (n *neighbour) end() {
	if n == nil {
		return
	}
	n.leave()
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.over:
	default:
		close(n.over)
	}
}

func (n *neighbour) count() int {
	if n == nil {
		return 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.published
}

// longest are the longest gaps of all neighbours, by what the fault was about.
var longest struct {
	sync.Mutex
	gaps map[scope]time.Duration
}

// check tells when the messages have not flowed.
func (n *neighbour) check(f matrixFault, p matrixPlace) {
	if n == nil {
		return
	}
	n.s.Helper()
	n.leave()
	about, limit := f.of, feed+10*time.Millisecond+f.gap
	if about == itsOwn && p.shared {
		about, limit = itsConnection, limit+unanswered+time.Second
	}
	if n.gap > limit {
		n.s.Errorf("nothing of its neighbour was handled for %v, and %v is the limit", n.gap, limit)
	}
	longest.Lock()
	defer longest.Unlock()
	if longest.gaps == nil {
		longest.gaps = map[scope]time.Duration{}
	}
	longest.gaps[about] = max(longest.gaps[about], n.gap)
}
