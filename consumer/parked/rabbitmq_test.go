package parked_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer/parked"
)

// real is a node of RabbitMQ with queues that are named after the test.
type real struct {
	*testing.T
	channel *amqp.Channel
	config  parked.Config
	origin  string
}

func onRabbitMQ(t *testing.T, kind string, arguments amqp.Table) *real {
	t.Helper()
	node := rabbittest.Shared(t)
	connection, err := amqp.Dial(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	name := strings.ReplaceAll(t.Name(), "/", ".")
	r := &real{T: t, origin: name, config: parked.Config{URLs: []string{node.URL()}, Queue: name + ".parked", Name: name, User: "guest"}}
	if r.channel, err = connection.Channel(); err == nil {
		err = r.channel.Confirm(false)
	}
	r.must(err)
	for _, queue := range []string{r.origin, r.config.Queue} {
		_, _ = r.channel.QueueDelete(queue, false, false, false)
		with := amqp.Table{"x-queue-type": kind}
		for name, value := range arguments {
			with[name] = value
		}
		_, err = r.channel.QueueDeclare(queue, true, false, false, false, with)
		r.must(err)
	}
	return r
}

func (r *real) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *real) park(from, to int, err func(int) string) {
	r.Helper()
	var last *amqp.DeferredConfirmation
	for i := from; i < to; i++ {
		var failure error
		last, failure = r.channel.PublishWithDeferredConfirm("", r.config.Queue, true, false, amqp.Publishing{
			Body: []byte(fmt.Sprint(i)), DeliveryMode: amqp.Persistent, Headers: headers(r.origin, err(i)),
		})
		r.must(failure)
	}
	last.Wait()
}

// takeAll takes all messages out of a queue. What a connection that has ended had of them may come a moment later: at least so
// many are waited for.
func (r *real) takeAll(queue string, least int) (bodies []string) {
	r.Helper()
	rabbittest.Eventually(r.T, time.Minute, "all are taken out of "+queue, func() bool {
		for {
			d, ok, err := r.channel.Get(queue, true)
			r.must(err)
			if !ok {
				return len(bodies) >= least
			}
			bodies = append(bodies, string(d.Body))
		}
	})
	return bodies
}

// kinds are the queues whose order is kept.
var kinds = []struct {
	name, kind string
	arguments  amqp.Table
}{
	{"classic", "classic", nil},
	{"quorum", "quorum", nil},
	{"quorum with a limit", "quorum", amqp.Table{"x-delivery-limit": int32(1000)}},
}

// A look changes no order, whether all is looked at, the first few, or some parts of it; nor do messages that come
// meanwhile.
func TestRabbitMQOrder(t *testing.T) {
	for _, tt := range kinds {
		t.Run(tt.name, func(t *testing.T) {
			r := onRabbitMQ(t, tt.kind, tt.arguments)
			const n = 300
			r.park(0, n, every(3, "no stock", "bad price"))
			look := func(edit func(*parked.Config)) {
				t.Helper()
				c := r.config
				edit(&c)
				begin := time.Now()
				tally, err := parked.Look(t.Context(), c, func(*parked.Entry) error { return nil })
				if err != nil || tally.Matched == 0 {
					t.Fatalf("%+v, %v", tally, err)
				}
				t.Logf("%+v in %v", tally, time.Since(begin))
			}
			look(func(*parked.Config) {})
			look(func(c *parked.Config) { c.Count = 10 })
			look(func(c *parked.Config) { c.Count = 10; c.Filter.From = r.origin })
			look(func(c *parked.Config) { c.MaxMemory = 50 << 10 }) // about 50 messages
			r.park(n, n+10, always("late"))
			look(func(c *parked.Config) { c.Count = n / 2 })
			if got := r.takeAll(r.config.Queue, n+10); !slices.Equal(got, numbers(n+10, all)) {
				t.Errorf("%d: %q", len(got), got)
			}
		})
	}
}

// Of a queue in which others wait between them, what is meant goes to its origin, and the others stay in their order.
func TestRabbitMQRetry(t *testing.T) {
	for _, tt := range kinds {
		t.Run(tt.name, func(t *testing.T) {
			r := onRabbitMQ(t, tt.kind, tt.arguments)
			const n = 300
			r.park(0, n, every(3, "no stock", "bad price"))
			r.config.Filter.ID = ""
			r.config.Filter.Headers = map[string]string{"x-everhop-error": "no stock"}
			tally, err := parked.Retry(t.Context(), r.config, func(_ *parked.Entry, err error) {
				if err != nil {
					t.Error(err)
				}
			})
			if err != nil || tally.Done != n/3 || tally.Seen != n {
				t.Errorf("%+v, %v", tally, err)
			}
			if got := r.takeAll(r.origin, n/3); !slices.Equal(got, numbers(n, func(i int) bool { return i%3 == 0 })) {
				t.Errorf("retried: %q", got)
			}
			if got := r.takeAll(r.config.Queue, n-n/3); !slices.Equal(got, numbers(n, func(i int) bool { return i%3 != 0 })) {
				t.Errorf("left: %q", got)
			}
		})
	}
}

// What the broker has dead-lettered goes back to its queue, and has its lives again: nothing of its deaths stays with it.
func TestRabbitMQRetryDeadLettered(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			r := onRabbitMQ(t, kind, nil)
			_, err := r.channel.QueueDelete(r.origin, false, false, false)
			r.must(err)
			_, err = r.channel.QueueDeclare(r.origin, true, false, false, false, amqp.Table{
				"x-queue-type": kind, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": r.config.Queue,
			})
			r.must(err)
			confirm, err := r.channel.PublishWithDeferredConfirm("", r.origin, true, false, amqp.Publishing{Body: []byte("m"), Headers: amqp.Table{"own": "kept"}})
			r.must(err)
			confirm.Wait()
			for round := range 2 { // a message that dies again in the same queue goes the same way
				rabbittest.Eventually(t, 30*time.Second, "it is rejected", func() bool {
					d, ok, err := r.channel.Get(r.origin, false)
					r.must(err)
					if ok && d.Headers["x-death"] != nil {
						t.Errorf("round %d: it has %v", round, d.Headers)
					}
					return ok && d.Reject(false) == nil
				})
				rabbittest.Eventually(t, 30*time.Second, "it is dead", func() bool {
					tally, err := parked.Look(t.Context(), r.config, func(e *parked.Entry) error {
						if e.From != r.origin || e.Error != "rejected" || e.Times != 1 || e.Last.IsZero() {
							t.Errorf("round %d: %+v", round, e)
						}
						return nil
					})
					r.must(err)
					return tally.Seen == 1
				})
				tally, err := parked.Retry(t.Context(), r.config, func(_ *parked.Entry, err error) { r.must(err) })
				if err != nil || tally.Done != 1 {
					t.Errorf("round %d: %+v, %v", round, tally, err)
				}
			}
		})
	}
}

// The connections end at any moment, between a confirm and its acknowledgement among others: each message is in at least
// one of the two queues, and those that were told of as retried are in the origin.
func TestRabbitMQRetryCut(t *testing.T) {
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			r := onRabbitMQ(t, kind, nil)
			proxy, err := rabbittest.NewProxy(rabbittest.Shared(t).Addr())
			r.must(err)
			defer proxy.Close()
			direct := r.config
			r.config.URLs = []string{proxy.URL(r.config.URLs[0])}
			const n = 300
			for _, after := range []int{1, 100, 299} {
				r.park(0, n, always("x"))
				told := 0
				done := map[string]bool{}
				_, err := parked.Retry(t.Context(), r.config, func(e *parked.Entry, err error) {
					if told++; told == after {
						proxy.Reset()
					}
					if err == nil {
						done[string(e.Message.Body)] = true
					}
				})
				if err == nil && after < n-1 {
					t.Errorf("after %d: nothing was said", after)
				}
				r.settle(t.Context(), direct.Queue)
				origin := r.takeAll(r.origin, 0)
				left := r.takeAll(direct.Queue, n-len(origin))
				have := map[string]bool{}
				for _, body := range slices.Concat(origin, left) {
					have[body] = true
				}
				if len(have) != n {
					t.Errorf("after %d: %d are left of %d", after, len(have), n)
				}
				for body := range done {
					if !slices.Contains(origin, body) {
						t.Errorf("after %d: %s is said to be retried, and is not there", after, body)
					}
				}
				t.Logf("after %d: %d at the origin, %d left, %v", after, len(origin), len(left), err)
			}
		})
	}
}

// settle waits until what was delivered over a lost connection is back.
func (r *real) settle(ctx context.Context, queue string) {
	node := rabbittest.Shared(r.T)
	rabbittest.Eventually(r.T, time.Minute, "all is back", func() bool {
		_, unacked, err := node.Depth(ctx, queue)
		return err == nil && unacked == 0
	})
}

// What a look costs is what RabbitMQ says: from 4.3 on nothing, before that one life in a quorum queue. That is known from
// the first look on.
func TestRabbitMQLives(t *testing.T) {
	for kind, arguments := range map[string]amqp.Table{"quorum": {"x-delivery-limit": int32(1000)}, "classic": nil} {
		t.Run(kind, func(t *testing.T) {
			r := onRabbitMQ(t, kind, arguments)
			r.park(0, 3, always("x"))
			const looks = 5
			var lives []parked.Lives
			for range looks {
				tally, err := parked.Look(t.Context(), r.config, func(*parked.Entry) error { return nil })
				r.must(err)
				lives = append(lives, tally.Lives)
			}
			var d amqp.Delivery
			rabbittest.Eventually(t, time.Minute, "the first one is back", func() bool {
				var ok bool
				var err error
				d, ok, err = r.channel.Get(r.config.Queue, true)
				r.must(err)
				return ok
			})
			count, _ := d.Headers["x-delivery-count"].(int64)
			want := parked.LivesKept
			if count > 0 {
				want = parked.LivesSpent
			}
			if !slices.Equal(lives, slices.Repeat([]parked.Lives{want}, looks)) || count > 0 && count != looks {
				t.Errorf("lives %v, x-delivery-count %v after %d looks", lives, d.Headers["x-delivery-count"], looks)
			}
		})
	}
}

// A stream is looked at from an offset, in parts, and keeps all.
func TestRabbitMQStream(t *testing.T) {
	r := onRabbitMQ(t, "stream", nil)
	const n = 200
	r.park(0, n, always("x"))
	for offset, want := range map[any][]string{"first": numbers(n, all), int64(190): numbers(n, func(i int) bool { return i >= 190 })} {
		c := r.config
		c.StreamOffset = offset
		c.MaxMemory = 50 << 10
		var seen []string
		_, err := parked.Look(t.Context(), c, func(e *parked.Entry) error {
			seen = append(seen, string(e.Message.Body))
			return nil
		})
		if err != nil || !slices.Equal(seen, want) {
			t.Errorf("from %v: %v, %q", offset, err, seen)
		}
	}
	if _, err := parked.Look(t.Context(), r.config, func(*parked.Entry) error { return nil }); !errors.Is(err, parked.ErrStream) {
		t.Errorf("without an offset: %v", err)
	}
}
