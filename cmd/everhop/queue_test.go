package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
)

// queues counts them, so that a test that is repeated gets another one.
var queues atomic.Int64

// newQueue declares a queue with messages in it, and returns its name.
func newQueue(t testing.TB, bodies ...string) string {
	t.Helper()
	return newQueueOf(t, "classic", bodies...)
}

func newQueueOf(t testing.TB, queueType string, bodies ...string) string {
	t.Helper()
	return newQueueWith(t, map[string]any{"x-queue-type": queueType}, bodies...)
}

func newQueueWith(t testing.TB, arguments map[string]any, bodies ...string) string {
	t.Helper()
	queue := fmt.Sprintf("everhop.%s.%d", t.Name(), queues.Add(1))
	plan := planFor(t) // which may have to start the node
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	plan.Subscriptions = []broker.Subscription{{Queue: queue, Declare: &broker.QueueOptions{Durable: true, Arguments: arguments}, Prefetch: 1}}
	session, err := broker.Open(ctx, plan, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.Consume(ctx, 0, broker.Intake{}); err != nil {
		t.Fatal(err)
	}
	if err := session.Close(ctx); err != nil {
		t.Fatal(err)
	}
	publishMany(t, queue, bodies)
	return queue
}

func publishMany(t testing.TB, queue string, bodies []string) {
	t.Helper()
	messages := make([]broker.Message, len(bodies))
	for i, body := range bodies {
		messages[i] = broker.Message{RoutingKey: queue, Body: []byte(body)}
	}
	publishMessages(t, messages)
}

func publishOne(t testing.TB, m broker.Message) {
	t.Helper()
	publishMessages(t, []broker.Message{m})
}

// publishMessages returns when the broker has confirmed all of them.
func publishMessages(t testing.TB, messages []broker.Message) {
	t.Helper()
	plan := planFor(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(len(messages))*time.Millisecond)
	defer cancel()
	publisher, err := broker.OpenPublisher(ctx, plan)
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close(ctx)
	const ahead = 200 // the publisher waits at 256
	confirms := make([]*broker.Confirm, len(messages))
	for i := range len(messages) + ahead {
		if i >= ahead {
			if err := confirms[i-ahead].Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if i < len(messages) {
			if confirms[i], err = publisher.Publish(ctx, messages[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func planFor(t testing.TB) broker.Plan {
	t.Helper()
	endpoint, err := broker.ParseEndpoint(rabbittest.Shared(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	return broker.Plan{Endpoints: []broker.Endpoint{endpoint}}
}

// holds expects so many messages in a queue, all of them ready. The broker puts back those of a
// closed connection a moment later.
func holds(t testing.TB, queue string, want int) {
	t.Helper()
	rabbittest.NeedsControl(t)
	var ready, unacked int
	defer func() {
		if t.Failed() {
			t.Logf("queue %s: %d ready, %d unacknowledged, want %d ready", queue, ready, unacked, want)
		}
	}()
	rabbittest.Eventually(t, patience, "the queue's depth", func() bool {
		var err error
		if ready, unacked, err = rabbittest.Shared(t).Depth(t.Context(), queue); err != nil {
			t.Fatal(err)
		}
		return ready == want && unacked == 0
	})
}

func newProxy(t *testing.T) *rabbittest.Proxy {
	t.Helper()
	proxy, err := rabbittest.NewProxy(rabbittest.Shared(t).Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	return proxy
}

// settled is how many messages a queue holds once none of them is with a consumer.
func settled(t *testing.T, queue string) (ready int) {
	t.Helper()
	rabbittest.Eventually(t, patience, "nothing is unacknowledged", func() bool {
		node := rabbittest.Shared(t)
		consumers, err := node.Consumers(t.Context(), queue)
		if err != nil {
			t.Fatal(err)
		}
		var unacked int
		if ready, unacked, err = node.Depth(t.Context(), queue); err != nil {
			t.Fatal(err)
		}
		return consumers == 0 && unacked == 0
	})
	return ready
}

// oneQueue is a broker in this process, with messages in the queue q.
func oneQueue(t *testing.T, messages ...string) *brokertest.Server {
	t.Helper()
	server := brokertest.NewServer(t)
	if err := errors.Join(server.DeclareQueue("q", nil), server.Publish("q", messages...)); err != nil {
		t.Fatal(err)
	}
	return server
}
