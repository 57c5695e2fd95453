package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// TestUnlikedMessages: a message for which amqp091-go ends the connection is handled, or fails, is tried again and
// goes where poison goes, as any other. Those behind, beside and after it are handled, on one connection.
func TestUnlikedMessages(t *testing.T) {
	deep, long := any("bottom"), make([]any, 20_000)
	for range 40 {
		deep = []any{deep}
	}
	for i := range long {
		long[i] = int16(i)
	}
	for _, message := range []struct {
		name   string
		header any
		poison consumer.Poison
	}{
		// With x-death on top its frame is above frame_max, and so nobody can publish it again.
		{"131,000 bytes of headers", strings.Repeat("x", 130_900), consumer.DeadLetter},
		{"nested 40 deep", deep, consumer.Park},
		{"a list of 20,000", long, consumer.Park},
	} {
		for _, fails := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, fails %t", message.name, fails), func(t *testing.T) {
				playUnliked(t, message.header, message.poison, fails)
			})
		}
	}
}

func playUnliked(t *testing.T, header any, poison consumer.Poison, fails bool) {
	work := strings.ReplaceAll(t.Name(), "/", ".")
	source, beside, end := work+".source", work+".beside", work+".end"
	channel := onShared(t)
	for queue, arguments := range map[string]amqp.Table{
		source: {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": 0},
		work:   {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": end},
		beside: nil, end: nil,
	} {
		if _, err := channel.QueueDeclare(queue, true, false, false, false, arguments); err != nil {
			t.Fatal(err)
		}
		defer channel.QueueDelete(queue, false, false, false)
	}
	publish := func(queue, body string, headers amqp.Table) {
		t.Helper()
		m := amqp.Publishing{Body: []byte(body), Headers: headers, DeliveryMode: amqp.Persistent}
		confirm, err := channel.PublishWithDeferredConfirm("", queue, false, false, m)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := confirm.WaitContext(t.Context()); err != nil || !ok {
			t.Fatalf("%s was not confirmed: %v", body, err)
		}
	}

	const attempts = 3
	var mu sync.Mutex
	var handled []string // queue, body
	handler := func(_ context.Context, d *consumer.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		what := strings.TrimPrefix(d.Queue, work) + " " + string(d.Body)
		handled = append(handled, what)
		if strings.HasSuffix(what, "unliked") && (d.Unreadable != nil || !reflect.DeepEqual(d.Headers["unliked"], header)) {
			t.Errorf("%s: its header came back different; unreadable: %v", what, d.Unreadable)
		}
		if d.Generation != 1 {
			t.Errorf("%s came with connection %d", what, d.Generation)
		}
		if fails && what == " unliked" {
			return errors.New("not this one")
		}
		return nil
	}
	want := func(what string, n int) {
		t.Helper()
		rabbittest.Eventually(t, patience, fmt.Sprintf("%q is handled, %d times", what, n), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(slices.DeleteFunc(slices.Clone(handled), func(one string) bool { return one != what })) == n
		})
	}

	var dials connections
	journal := &book{}
	c, err := consumer.New(consumer.Config{
		URLs: []string{rabbittest.Shared(t).URL()}, Dial: dials.dial, Journal: journal, Logger: zerolog.New(zerolog.NewTestWriter(t)),
		Subscriptions: []consumer.Subscription{
			{Queue: work, Handler: handler, Retry: consumer.Retry{
				Attempts: attempts, Backoff: consumer.Backoff{Initial: time.Millisecond}, Poison: poison, ParkingQueue: end}},
			{Queue: beside, Handler: handler},
			{Queue: end, Handler: handler},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(source, "unliked", amqp.Table{"unliked": header})
	rabbittest.Eventually(t, patience, "it has been dead-lettered", func() bool {
		ready, _, err := rabbittest.Shared(t).Depth(t.Context(), work)
		return err == nil && ready == 1
	})
	publish(work, "behind", nil)
	publish(beside, "beside", nil)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	want(" behind", 1)
	want(".beside beside", 1)
	if fails {
		want(" unliked", attempts)
		want(".end unliked", 1)
	} else {
		want(" unliked", 1)
	}
	publish(work, "after", nil)
	want(" after", 1)
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}

	for _, queue := range []string{work, beside, end} {
		rabbittest.Eventually(t, patience, queue+" is empty", func() bool {
			ready, unacked, err := rabbittest.Shared(t).Depth(t.Context(), queue)
			return err == nil && ready+unacked == 0
		})
	}
	republishing := 0
	if fails && poison == consumer.Park {
		republishing = 1
	}
	if dials.consuming != 1 || dials.republishing != republishing {
		t.Errorf("%d connections to consume, want 1; %d to publish again, want %d", dials.consuming, dials.republishing, republishing)
	}
	moved := slices.DeleteFunc(journal.Events(), func(e fsm.Event) bool { // a busy broker may be silent for a while
		return e.Kind != fsm.KindTransition || e.Trigger == consumer.DrainTimeout || e.Trigger == consumer.HeartbeatOK
	})
	if got := triggers(moved); !slices.Equal(got, []string{"Connect", "Connected", "Stop"}) {
		t.Errorf("it went through %v", got)
	}
}

// onShared is a channel with confirms to the shared node.
func onShared(t *testing.T) *amqp.Channel {
	t.Helper()
	connection, err := amqp.Dial(rabbittest.Shared(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	channel, err := connection.Channel()
	if err == nil {
		err = channel.Confirm(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return channel
}

// connections counts those that a consumer has opened a channel on; what it has only dialed may have been overtaken.
type connections struct {
	mu                      sync.Mutex
	consuming, republishing int
}

func (all *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: raw, all: all}, nil
}

// countedConn learns from what is written what the connection is for.
type countedConn struct {
	net.Conn
	all                  *connections
	republishes, counted bool
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.republishes = c.republishes || bytes.Contains(p, []byte(" (publishing)")) // its name, in connection.start-ok
	if onChannel := len(p) > 2 && p[0] == methodFrame && (p[1] != 0 || p[2] != 0); onChannel && !c.counted {
		c.counted = true
		c.all.mu.Lock()
		if c.republishes {
			c.all.republishing++
		} else {
			c.all.consuming++
		}
		c.all.mu.Unlock()
	}
	return c.Conn.Write(p)
}
