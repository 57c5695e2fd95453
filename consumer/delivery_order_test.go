package consumer_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// Deliveries of one key are never handled at once, and for the first time in the queue's order, whatever
// happens to the connection.
func TestKeyOrderOverCuts(t *testing.T) {
	t.Parallel()
	const keys, messages = 8, 800
	r := newRig(t)
	rabbittest.NeedsControl(t)
	key := func(d *consumer.Delivery) string { return strconv.Itoa(numberOf(d) % keys) }
	var mu sync.Mutex
	busy, last, handled := map[string]bool{}, map[string]int{}, map[int]bool{}
	s := &r.config.Subscriptions[0]
	s.Concurrency, s.Prefetch, s.OrderingKey = 16, 100, key
	s.Handler = func(_ context.Context, d *consumer.Delivery) error {
		k, number := key(d), numberOf(d)
		mu.Lock()
		if busy[k] {
			t.Errorf("two of key %s at once", k)
		}
		busy[k] = true
		if !handled[number] && number < last[k] {
			t.Errorf("key %s: %d after %d", k, number, last[k])
		}
		last[k] = max(last[k], number)
		mu.Unlock()
		<-time.After(time.Duration(number%20) * time.Millisecond) // the work
		mu.Lock()
		busy[k], handled[number] = false, true
		mu.Unlock()
		return nil
	}
	progress := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(handled)
	}
	r.load(messages)
	r.start()
	for i := range 4 { // a reset, silence, a reset, an outage
		r.await("the handlers to get on", func() bool { return progress() >= (i+1)*messages/8 })
		n := r.events()
		r.cut(i)
		r.awaitEvent(n, consumer.Revived)
	}
	r.await("every message to be handled", func() bool { return progress() == messages })
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
}

func numberOf(d *consumer.Delivery) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(string(d.Body), "message "))
	return n
}
