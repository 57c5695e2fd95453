package consumer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
)

func TestDelayQueue(t *testing.T) {
	tests := []struct {
		after time.Duration
		want  int64 // milliseconds
	}{
		{1, 1}, {time.Millisecond, 1}, {time.Millisecond + 1, 2}, {99 * time.Millisecond, 99},
		{99*time.Millisecond + 1, 100}, {100 * time.Millisecond, 100}, {101 * time.Millisecond, 110},
		{990 * time.Millisecond, 990}, {991 * time.Millisecond, 1000}, {1234 * time.Millisecond, 1300},
		{time.Minute, 60_000}, {61234 * time.Millisecond, 62_000}, {time.Hour, 3_600_000}, {24 * time.Hour, 87_000_000},
		{maxDelay - 1, 4_200_000_000}, {maxDelay, 4_200_000_000},
	}
	for _, test := range tests {
		name, options, err := delayQueue("work", test.after)
		if err != nil {
			t.Error(err)
		}
		want := broker.QueueOptions{Durable: true, Arguments: map[string]any{
			"x-queue-type": "classic", "x-message-ttl": test.want, "x-expires": test.want + 600_000,
			"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work",
		}}
		if name != fmt.Sprint("work.retry.", test.want) || !reflect.DeepEqual(options, want) {
			t.Errorf("%v: %s %v", test.after, name, options)
		}
	}
}

func TestDelayQueueThatCannotBe(t *testing.T) {
	tests := []struct {
		queue string
		after time.Duration
	}{
		{"work", 0}, {"work", -time.Second}, {"work", maxDelay + 1}, {"work", math.MaxInt64},
		{"", time.Second}, {"amq.gen-1", time.Second}, {strings.Repeat("q", 247), 10 * time.Millisecond},
	}
	for _, test := range tests {
		if name, _, err := delayQueue(test.queue, test.after); !errors.Is(err, errDelay) {
			t.Errorf("%s after %v: %s, %v", test.queue, test.after, name, err)
		}
	}
	if name, _, err := delayQueue(strings.Repeat("q", 247), 9*time.Millisecond); err != nil || len(name) != 255 {
		t.Errorf("255 bytes: %s %v", name, err)
	}
}

func TestDelayedMessagesComeBack(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		declareIn(t, server, "work", nil)
		d := delivered("x")
		d.Expiration = "5"
		if err := r.delay(t.Context(), d, 1230*time.Millisecond, itFailed); err != nil {
			t.Fatal(err)
		}
		wantBodies(t, server, "work.retry.1300", "x")
		time.Sleep(1299 * time.Millisecond)
		synctest.Wait()
		wantBodies(t, server, "work")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		wantBodies(t, server, "work.retry.1300")
		wantBodies(t, server, "work", "x")
		m := server.Messages("work")[0]
		if m.MessageID != "x" || m.Expiration != "" || m.Headers[HeaderExpiration] != "5" || m.Headers[HeaderExchange] != "events" {
			t.Errorf("came back as %+v", m)
		}
	})
}

// A delay queue goes ten minutes after its last message, and never before.
func TestDelayQueueOutlivesItsMessages(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		declareIn(t, server, "work", nil)
		const after = time.Hour
		for i := range 5 { // each one when the lease that the one before it took is nearly over
			if i > 0 {
				time.Sleep(after + delayLease - time.Second)
			}
			if err := r.delay(t.Context(), delivered(fmt.Sprint(i)), after, itFailed); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(after)
		synctest.Wait()
		wantBodies(t, server, "work", "0", "1", "2", "3", "4")
		time.Sleep(delayLease)
		synctest.Wait()
		if q, there := server.Queue("work.retry.3600000"); there {
			t.Errorf("is left behind: %+v", q)
		}
	})
}

func TestDelayThatFails(t *testing.T) {
	const queue = "work.retry.1000"
	tests := []struct {
		name string
		prep func(t *testing.T, server *brokertest.Server)
		want func(error) bool
	}{
		{"the queue is another one", func(t *testing.T, server *brokertest.Server) { declareIn(t, server, queue, nil) },
			func(err error) bool { class, _ := broker.Classify(err); return class == broker.Precondition }},
		{"the queue is deleted at once", func(t *testing.T, server *brokertest.Server) {
			server.Inject(brokertest.OnMethod("queue.declare-ok", 1), brokertest.DeleteQueue(queue))
		}, func(err error) bool { return errors.Is(err, broker.ErrUnroutable) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
				test.prep(t, server)
				if err := r.delay(t.Context(), delivered("x"), time.Second, itFailed); !test.want(err) {
					t.Errorf("got %v", err)
				}
				wantBodies(t, server, queue)
			})
		})
	}
}

// A confirm that comes late proves nothing: the queue may have been deleted when the message came.
func TestDelayWaitsNoLongerThanTheLease(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		server.Inject(brokertest.OnMethod("basic.ack", 1), brokertest.Drop())
		var err error
		if d := elapsed(func() { err = r.delay(t.Context(), delivered("x"), time.Second, itFailed) }); d != delayLease/2 {
			t.Errorf("waited for %v", d)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
