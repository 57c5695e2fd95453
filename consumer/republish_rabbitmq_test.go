package consumer

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

// TestRepublishWithRabbitMQ delays a message three times and parks it. The message claims to have died in
// the work queue before, as one does that was moved back from a dead-letter queue: were it published again
// so, RabbitMQ would take its way back from the delay queue for a cycle, and drop it. In each round it has come back
// before, and a quorum queue counts that, as RabbitMQ of each version does. One has no id.
func TestRepublishWithRabbitMQ(t *testing.T) {
	rabbittest.Shared(t) // which may have to be started
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for _, test := range []struct {
		kind   string // of the work queue
		parked string // the parking queue's, which an operator has made; "" if nobody has
	}{{"classic", ""}, {"quorum", "quorum"}} {
		t.Run(test.kind, func(t *testing.T) {
			work := "republish." + test.kind
			l := layOut(ctx, t, work, test.kind, test.parked)
			if test.kind == "quorum" {
				l.id = ""
			}
			l.publish(ctx, map[string]any{
				"x-death": []any{map[string]any{"queue": work, "reason": "expired", "count": int64(1), "exchange": "", "time": firstTime, "routing-keys": []any{work}}},
				"a":       map[string]any{"b": []any{int32(1), "two"}},
			})
			for round := 1; round <= 3; round++ {
				if err := l.work.Nack(l.receive(ctx, l.work).DeliveryTag); err != nil {
					t.Fatal(err)
				}
				d := l.receive(ctx, l.work)
				_, delivered := d.Headers["x-delivery-count"]
				_, acquired := d.Headers["x-acquired-count"]
				if counted := delivered || acquired; counted != (test.kind == "quorum") {
					t.Errorf("round %d: counted %t: %v", round, counted, d.Headers)
				}
				if n := Attempts(d); n != round-1 {
					t.Errorf("round %d: %d attempts before", round, n)
				}
				why := failure{reason: fmt.Sprintf("round %d: %v", round, errHandler), attempts: round, first: firstTime.Add(time.Duration(round) * time.Hour)}
				why.last = why.first
				if err := l.r.delay(ctx, d, 20*time.Millisecond, why); err != nil {
					t.Fatal(err)
				}
				if err := l.work.Ack(d.DeliveryTag); err != nil {
					t.Fatal(err)
				}
			}
			d := l.receive(ctx, l.work)
			if n := Attempts(d); n != 3 {
				t.Errorf("at last: %d attempts", n)
			}
			if err := l.r.park(ctx, d, l.parked, failure{reason: errHandler.Error(), attempts: 4, first: secondTime, last: secondTime}); err != nil {
				t.Fatal(err)
			}
			if err := l.work.Ack(d.DeliveryTag); err != nil {
				t.Fatal(err)
			}
			l.check(l.receive(ctx, l.consume(ctx, l.parked)))
		})
	}
}

// The shortest and the longest delay queue are such that RabbitMQ takes them.
func TestDelayLimitsOfRabbitMQ(t *testing.T) {
	l := layOut(t.Context(), t, "republish.limits", "classic", "quorum")
	d := delivered("x")
	d.Queue = l.name
	for after, queue := range map[time.Duration]string{1: ".retry.1", maxDelay: ".retry.4200000000"} {
		t.Cleanup(func() {
			l.raw(func(c *amqp.Channel) error {
				_, err := c.QueueDelete(l.name+queue, false, false, false)
				return err
			})
		})
		if err := l.r.delay(t.Context(), d, after, itFailed); err != nil {
			t.Errorf("%v: %v", after, err)
		}
	}
}

// permissions are what rabbitmqctl set_permissions takes.
type permissions struct{ configure, write, read string }

// What the guide says a user needs in order to park and delay is enough, and none of it too much. A message
// that may not be published again is in its queue in the end, and nowhere else.
func TestRepublishPermissions(t *testing.T) {
	rabbittest.NeedsControl(t)
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^rabbitmqctl set_permissions (\S+) '(.*)' '(.*)' '(.*)'$`).FindSubmatch(readme)
	if line == nil {
		t.Fatal("README.md has no rabbitmqctl set_permissions")
	}
	user, all := string(line[1]), permissions{string(line[2]), string(line[3]), string(line[4])}
	if err := rabbittest.Shared(t).Call(t.Context(), "rabbit_auth_backend_internal:add_user", user, "secret", "test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rabbittest.Shared(t).Call(context.Background(), "rabbit_auth_backend_internal:delete_user", user, "test"); err != nil {
			t.Error(err)
		}
	})
	const work, parking, delays = `^orders$`, `^orders\.parked$`, `^orders\.retry\.\d+$`
	const write, nothing = `^amq\.default$`, `^$`
	tests := []struct {
		name    string
		message string // park or delay
		exists  bool   // the queue that it goes to
		may     permissions
		refused string // what the log says
	}{
		{"README", "park", false, all, ""},
		{"README", "delay", false, all, ""},
		{"no more than it takes", "park", false, permissions{parking, write, work}, ""},
		{"no more than it takes, into a queue that exists", "park", true, permissions{nothing, write, work}, ""},
		{"no more than it takes, into a queue that exists", "delay", true, permissions{delays, write, work}, ""},
		{"no write", "park", false, permissions{all.configure, nothing, all.read}, "exchange 'amq.default'"},
		{"no write", "delay", false, permissions{all.configure, nothing, all.read}, "exchange 'amq.default'"},
		{"no write, into a queue that exists", "delay", true, permissions{all.configure, nothing, all.read}, "exchange 'amq.default'"},
		{"no configure", "park", false, permissions{delays, all.write, all.read}, "queue 'orders.parked'"},
		{"no configure", "delay", false, permissions{parking, all.write, all.read}, "queue 'orders.retry.20'"},
		{"no configure, into a queue that exists", "delay", true, permissions{parking, all.write, all.read}, "queue 'orders.retry.20'"},
		{"no read", "delay", false, permissions{all.configure, all.write, work}, "queue 'orders.retry.20'"},
	}
	for _, test := range tests {
		t.Run(test.message+", "+test.name, func(t *testing.T) {
			if err := rabbittest.Shared(t).Call(t.Context(), "rabbit_auth_backend_internal:set_permissions", user, "/",
				test.may.configure, test.may.write, test.may.read, "test"); err != nil {
				t.Fatal(err)
			}
			republishAs(t, user, test.message, test.exists, test.refused)
		})
	}
}

// accessRefused: RabbitMQ 4 says which access, too.
var accessRefused = regexp.MustCompile(`403 ACCESS_REFUSED - ((configure|write|read) )?access to `)

// republishAs consumes one message, which says itself whether its handler has it parked or delayed, as a user
// whose password is secret.
func republishAs(t *testing.T, user, message string, exists bool, refused string) {
	t.Helper()
	node := rabbittest.Shared(t)
	l := &layout{T: t, url: node.URL()}
	queues := map[string]string{"park": "orders.parked", "delay": "orders.retry.20"}
	l.raw(func(c *amqp.Channel) error {
		_, err := c.QueueDeclare("orders", true, false, false, false, nil)
		if exists {
			_, o, _ := delayQueue("orders", 20*time.Millisecond)
			if message == "park" {
				o.Arguments = nil
			}
			_, problem := c.QueueDeclare(queues[message], true, false, false, false, o.Arguments)
			err = errors.Join(err, problem)
		}
		return errors.Join(err, c.PublishWithContext(t.Context(), "", "orders", true, false, amqp.Publishing{Body: []byte(message)}))
	})
	defer l.raw(func(c *amqp.Channel) error {
		_, first := c.QueueDelete("orders", false, false, false)
		_, second := c.QueueDelete(queues[message], false, false, false)
		return errors.Join(first, second)
	})

	endpoint, err := url.Parse(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	endpoint.User = url.UserPassword(user, "secret")
	errs, delayed := make(errorLines, 1), make(chan struct{})
	c, err := New(Config{URLs: []string{endpoint.String()}, Logger: zerolog.New(errs), Subscriptions: []Subscription{{
		Queue: "orders", RequeuePause: 10 * time.Millisecond, Retry: Retry{Attempts: 1, MaxInPlace: 1},
		Handler: func(_ context.Context, d *Delivery) error {
			switch {
			case message == "park":
				return errHandler
			case Attempts(d) == 0:
				return RetryAfter(20 * time.Millisecond)
			}
			close(delayed)
			return nil
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- c.Run(t.Context()) }()
	var line string
	rabbittest.Eventually(t, time.Minute, "the message is parked, or back and handled, or the log has an error", func() bool {
		select {
		case line = <-errs:
			return true
		case <-delayed:
			return true
		default:
			stats := c.Stats()
			return stats.Parked > 0 || refused != "" && stats.Delayed > 0
		}
	})
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if refused == "" && line != "" || !strings.Contains(line, refused) || refused != "" && !accessRefused.MatchString(line) {
		t.Fatalf("refused is %q, but the log says %q", refused, line)
	}
	want := map[string]int{"orders": 0, queues[message]: 0}
	switch {
	case refused != "":
		want["orders"] = 1
	case message == "park":
		want[queues[message]] = 1
	}
	for queue, messages := range want {
		rabbittest.Eventually(t, time.Minute, fmt.Sprintf("%s holds %d", queue, messages), func() bool {
			ready, unacked, err := node.Depth(t.Context(), queue)
			return ready == messages && unacked == 0 && (err == nil || messages == 0 && errors.Is(err, rabbittest.ErrNoQueue))
		})
	}
}

// errorLines gets the first line of a log that is an error.
type errorLines chan string

func (l errorLines) Write(line []byte) (int, error) {
	if strings.Contains(string(line), `"level":"error"`) {
		select {
		case l <- string(line):
		default:
		}
	}
	return len(line), nil
}

// layout is a work queue on RabbitMQ, its consumer, and a republisher.
type layout struct {
	*testing.T
	url    string
	user   string // of url
	plan   broker.Plan
	parked string
	name   string
	id     string // of the message; "": it has none
	work   *broker.Consumer
	r      *republisher
}

func layOut(ctx context.Context, t *testing.T, work, kind, parkedKind string) *layout {
	t.Helper()
	node := rabbittest.Shared(t)
	endpoints, err := broker.ParseEndpoints(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := url.Parse(node.URL())
	if err != nil {
		t.Fatal(err)
	}
	l := &layout{T: t, url: node.URL(), user: parsed.User.Username(), plan: broker.Plan{Endpoints: endpoints, Name: t.Name()}, name: work, id: "id", parked: work + ".parked"}
	l.r = republisherOn(t, Config{URLs: []string{node.URL()}, Name: t.Name(), Logger: zerolog.New(zerolog.NewTestWriter(t))})
	l.raw(func(c *amqp.Channel) error {
		if parkedKind != "" {
			if _, err := c.QueueDeclare(l.parked, true, false, false, false, amqp.Table{"x-queue-type": parkedKind}); err != nil {
				return err
			}
		}
		_, err := c.QueueDeclare(work, true, false, false, false, amqp.Table{"x-queue-type": kind, "x-dead-letter-exchange": ""})
		return err
	})
	t.Cleanup(func() {
		l.raw(func(c *amqp.Channel) error {
			var problems []error
			for _, queue := range []string{work, l.parked, work + ".retry.20"} {
				_, err := c.QueueDelete(queue, false, false, false)
				problems = append(problems, err)
			}
			return errors.Join(problems...)
		})
	})
	l.work = l.consume(ctx, work)
	return l
}

func (l *layout) raw(f func(*amqp.Channel) error) {
	l.Helper()
	connection, err := amqp.Dial(l.url)
	if err != nil {
		l.Fatal(err)
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err == nil {
		err = f(channel)
	}
	if err != nil {
		l.Fatal(err)
	}
}

func (l *layout) consume(ctx context.Context, queue string) *broker.Consumer {
	l.Helper()
	plan := l.plan
	plan.Subscriptions = []broker.Subscription{{Queue: queue, Prefetch: 10}}
	s, err := broker.Open(ctx, plan, 1, 0)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(s.Abort)
	c, err := s.Consume(ctx, 0, broker.Intake{})
	if err != nil {
		l.Fatal(err)
	}
	return c
}

func (l *layout) receive(ctx context.Context, c *broker.Consumer) *Delivery {
	l.Helper()
	d, ok := c.Receive(ctx.Done())
	if !ok {
		l.Fatal("no message came")
	}
	return d
}

// publish sends a message with every property into the work queue.
func (l *layout) publish(ctx context.Context, headers map[string]any) {
	l.Helper()
	p, err := broker.OpenPublisher(ctx, l.plan)
	if err != nil {
		l.Fatal(err)
	}
	defer p.Close(ctx)
	confirm, err := p.Publish(ctx, broker.Message{
		RoutingKey: l.name, Body: []byte("body"), Headers: headers,
		ContentType: "text/plain", ContentEncoding: "gzip", Priority: 7, CorrelationID: "correlation", ReplyTo: "answers",
		Expiration: "60000", MessageID: l.id, NoMessageID: l.id == "", Timestamp: firstTime, Type: "type", UserID: l.user, AppID: "app",
	})
	if err == nil {
		err = confirm.Wait(ctx)
	}
	if err != nil {
		l.Fatal(err)
	}
}

// check compares what was parked in the end.
func (l *layout) check(d *Delivery) {
	l.Helper()
	want := &Delivery{
		Queue: l.parked, RoutingKey: l.parked, Body: []byte("body"), DeliveryMode: 2,
		ContentType: "text/plain", ContentEncoding: "gzip", Priority: 7, CorrelationID: "correlation", ReplyTo: "answers",
		MessageID: l.id, Timestamp: firstTime, Type: "type", AppID: "app",
		ConsumerTag: d.ConsumerTag, DeliveryTag: d.DeliveryTag, Generation: d.Generation, ReceivedAt: d.ReceivedAt,
		Headers: map[string]any{
			"a": map[string]any{"b": []any{int32(1), "two"}}, "x-first-death-queue": l.name + ".retry.20",
			"x-first-death-reason": "expired", "x-first-death-exchange": "",
			HeaderAttempts: int64(4), HeaderError: errHandler.Error(), HeaderFirstFailed: firstTime.Add(time.Hour), HeaderLastFailed: secondTime,
			HeaderQueue: l.name, HeaderHost: l.r.host, HeaderExchange: "", HeaderRoutingKey: l.name,
			HeaderExpiration: "60000", HeaderUserID: l.user, HeaderParkingQueue: l.parked,
		},
	}
	if l.id == "" {
		want.Headers[broker.HeaderPublishID] = d.Headers[broker.HeaderPublishID]
	}
	for _, last := range []string{"queue", "reason", "exchange"} { // RabbitMQ 4 tells of the last death, too
		header := "x-last-death-" + last
		if _, ok := d.Headers[header]; ok {
			want.Headers[header] = want.Headers["x-first-death-"+last]
		}
	}
	if !reflect.DeepEqual(d, want) {
		l.Errorf("parked %+v\n  want %+v", d, want)
	}
}
