package main

import (
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

// After a lost connection there is a temporary queue again, bound as before.
func TestTemporaryQueueRevives(t *testing.T) {
	proxy, key := newProxy(t), "everhop."+t.Name()
	p := prepare(t, "consume", "--count", "2", "--bind", "amq.topic/"+key+".#", "--url", proxy.URL(rabbittest.Shared(t).URL())).start()
	p.logs(`"trigger":"Connected"`)
	publishOne(t, broker.Message{Exchange: "amq.topic", RoutingKey: key + ".1", Body: []byte("before")})
	rabbittest.Eventually(t, patience, "the first message", func() bool { return p.stdout.String() == "before\n" })
	proxy.Reset()
	p.logs(`"trigger":"Revived"`)
	publishOne(t, broker.Message{Exchange: "amq.topic", RoutingKey: key + ".2", Body: []byte("after")})
	p.wait(0)
	if got := p.stdout.String(); got != "before\nafter\n" {
		t.Errorf("standard output %q", got)
	}
}

// Who wants to be alone waits until the others have gone.
func TestExclusiveWaits(t *testing.T) {
	queue := newQueue(t)
	first := prepare(t, "consume", "--queue", queue, "--output", "none").start()
	first.logs(`"trigger":"Connected"`)
	alone := prepare(t, "consume", "--queue", queue, "--exclusive", "--count", "1").start()
	alone.logs("exclusive")
	first.signal(syscall.SIGTERM)
	first.wait(0)
	alone.logs(`"to":"Consuming"`)
	publishOne(t, broker.Message{RoutingKey: queue, Body: []byte("mine")})
	alone.wait(0)
	if got := alone.stdout.String(); got != "mine\n" {
		t.Errorf("standard output %q", got)
	}
}

// The one with the higher priority gets the messages.
func TestPriority(t *testing.T) {
	queue := newQueue(t)
	low := prepare(t, "consume", "--queue", queue, "--priority", "-3").start()
	low.logs(`"trigger":"Connected"`)
	high := prepare(t, "consume", "--queue", queue, "--priority", "7", "--count", "5").start()
	high.logs(`"trigger":"Connected"`)
	for range 5 {
		publishOne(t, broker.Message{RoutingKey: queue, Body: []byte("x")})
	}
	high.wait(0)
	low.signal(syscall.SIGTERM)
	low.wait(0)
	if got := low.stdout.String(); got != "" {
		t.Errorf("the other one got %q", got)
	}
}

// Of all types of queues, those that are declared are emptied.
func TestUntilEmptyOnRabbitMQ(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			queue := newQueueOf(t, kind, strings.Fields(strings.Repeat("x ", 300))...)
			p := everhop(t, 0, "", "consume", "--queue", queue, "--declare", "--declare-type", kind, "--until-empty", "--concurrency", "3")
			if got := strings.Count(p.stdout.String(), "\n"); got != 300 {
				t.Errorf("%d messages", got)
			}
			if strings.Contains(p.stderr.String(), "queue_differs") {
				t.Error(&p.stderr)
			}
			holds(t, queue, 0)
		})
	}
	t.Run("stream", func(t *testing.T) { // which nobody has said to be one
		queue := newQueueOf(t, "stream", "x")
		// Until a message of it comes, a stream would be taken for a queue that is empty: another one is not.
		other := newQueueWith(t, map[string]any{"x-single-active-consumer": true}, "1", "2")
		active := prepare(t, "consume", "--queue", other, "--prefetch", "1", "--exec", "echo begun >&2; sleep 1000").start()
		active.logs("begun")
		p := prepare(t, "consume", "--queue", queue, "--queue", other, "--until-empty").start()
		p.logs(`"to":"Consuming"`)
		publishOne(t, broker.Message{RoutingKey: queue, Body: []byte("y")})
		p.wait(1)
		p.logs("everhop: --until-empty: the queue " + queue + " is a stream, which keeps its messages; use --idle-timeout")
		if got := p.stdout.String(); got != "y\n" {
			t.Errorf("standard output %q", got)
		}
	})
}
