package parked_test

import (
	"context"
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

// takeAll takes all messages out of a queue.
func (r *real) takeAll(queue string) (bodies []string) {
	r.Helper()
	for {
		d, ok, err := r.channel.Get(queue, true)
		r.must(err)
		if !ok {
			return bodies
		}
		bodies = append(bodies, string(d.Body))
	}
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
			if got := r.takeAll(r.config.Queue); !slices.Equal(got, numbers(n+10, all)) {
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
			if got := r.takeAll(r.origin); !slices.Equal(got, numbers(n, func(i int) bool { return i%3 == 0 })) {
				t.Errorf("retried: %q", got)
			}
			if got := r.takeAll(r.config.Queue); !slices.Equal(got, numbers(n, func(i int) bool { return i%3 != 0 })) {
				t.Errorf("left: %q", got)
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
				origin, left := r.takeAll(r.origin), r.takeAll(direct.Queue)
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
	rabbittest.Eventually(r.T, 30*time.Second, "all is back", func() bool {
		_, unacked, err := node.Depth(ctx, queue)
		return err == nil && unacked == 0
	})
}

// What a look costs is what RabbitMQ says: from 4.3 on nothing, before that one life in a quorum queue.
func TestRabbitMQLives(t *testing.T) {
	r := onRabbitMQ(t, "quorum", amqp.Table{"x-delivery-limit": int32(1000)})
	r.park(0, 3, always("x"))
	const looks = 5
	lives := parked.LivesUnknown
	for range looks {
		tally, err := parked.Look(t.Context(), r.config, func(*parked.Entry) error { return nil })
		r.must(err)
		lives = tally.Lives
	}
	d, ok, err := r.channel.Get(r.config.Queue, true)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	count, _ := d.Headers["x-delivery-count"].(int64)
	if spent := lives == parked.LivesSpent; spent != (count > 0) || spent && count != looks {
		t.Errorf("lives %v, x-delivery-count %v after %d looks", lives, d.Headers["x-delivery-count"], looks)
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
}
