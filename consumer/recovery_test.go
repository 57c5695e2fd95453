package consumer_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// BenchmarkRecovery measures, for several faults, how long it takes until a message is handled again:
// Everhop with its defaults, and beside it a loop over amqp091-go with that library's own Recovery.
// The clock starts with the fault; for an outage and for a deleted queue, with its end.
//
//	make recovery
func BenchmarkRecovery(b *testing.B) {
	for _, fault := range faults {
		b.Run(fault.name, func(b *testing.B) {
			for _, contestant := range []struct {
				name  string
				start func(*bench)
			}{{"everhop", startEverhop}, {"amqp091-recovery", startRecovery}} {
				b.Run(contestant.name, func(b *testing.B) {
					var times []time.Duration
					never := 0
					for range b.N {
						if d, ok := measure(b, fault, contestant.start); ok {
							times = append(times, d)
						} else {
							never++
						}
					}
					b.ReportMetric(0, "ns/op") // not the time of an operation: hide it
					if len(times) > 0 {
						slices.Sort(times)
						b.ReportMetric(times[len(times)/2].Seconds(), "s-median")
						b.ReportMetric(times[len(times)-1].Seconds(), "s-max")
						if worst := times[len(times)-1]; contestant.name == "everhop" && worst > fault.promise {
							b.Errorf("%v, and the promise is %v", worst, fault.promise)
						}
					}
					b.ReportMetric(float64(never), "never")
					if contestant.name == "everhop" && never > 0 {
						b.Errorf("%d times never", never)
					}
				})
			}
		})
	}
}

// giveUp is when a consumer that has not come back counts as "never".
const giveUp = 40 * time.Second

type fault struct {
	name    string
	promise time.Duration // of Everhop, at worst
	// play injects the fault, and returns when the clock starts.
	play func(*bench) time.Time
}

var faults = []fault{
	{"reset", 300 * time.Millisecond, func(b *bench) time.Time {
		began := time.Now()
		b.proxy.Reset()
		return began
	}},
	{"silent", 4500 * time.Millisecond, func(b *bench) time.Time {
		began := time.Now()
		b.proxy.DropCurrent(rabbittest.Both)
		return began
	}},
	{"outage-13s", 1500 * time.Millisecond, func(b *bench) time.Time {
		b.proxy.Refuse()
		<-time.After(13 * time.Second)
		if err := b.proxy.Accept(); err != nil {
			b.Fatal(err)
		}
		return time.Now()
	}},
	{"queue-deleted-3s", 2 * time.Second, func(b *bench) time.Time {
		if _, err := b.direct.QueueDelete(b.queue, false, false, false); err != nil {
			b.Fatal(err)
		}
		<-time.After(3 * time.Second)
		b.declare()
		return time.Now()
	}},
}

type bench struct {
	*testing.B
	url    string
	proxy  *rabbittest.Proxy
	direct *amqp.Channel
	queue  string
	ended  sync.WaitGroup
	ctx    context.Context

	handled chan string
}

func measure(b *testing.B, f fault, start func(*bench)) (time.Duration, bool) {
	node := rabbittest.Shared(b)
	proxy, err := rabbittest.NewProxy(node.Addr())
	if err != nil {
		b.Fatal(err)
	}
	defer proxy.Close()
	connection, err := amqp.Dial(node.URL())
	if err != nil {
		b.Fatal(err)
	}
	defer connection.Close()
	direct, err := connection.Channel()
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	x := &bench{B: b, url: proxy.URL(node.URL()), proxy: proxy, direct: direct, queue: "recovery", ctx: ctx,
		handled: make(chan string, 1000)}
	defer x.ended.Wait()
	defer cancel()
	x.declare()
	defer direct.QueueDelete(x.queue, false, false, false)

	start(x)
	x.publish("before")
	if !x.await("before", time.Now().Add(giveUp)) {
		b.Fatal("the first message was not handled")
	}
	began := f.play(x)
	x.publish("after")
	ok := x.await("after", began.Add(giveUp))
	return time.Since(began), ok
}

func (b *bench) declare() {
	if _, err := b.direct.QueueDeclare(b.queue, true, false, false, false, nil); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) publish(body string) {
	err := b.direct.PublishWithContext(b.ctx, "", b.queue, false, false, amqp.Publishing{Body: []byte(body)})
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) await(body string, deadline time.Time) bool {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		select {
		case got := <-b.handled:
			if got == body {
				return true
			}
		case <-timer.C:
			return false
		}
	}
}

func startEverhop(b *bench) {
	c, err := consumer.New(consumer.Config{
		URLs: []string{b.url},
		Subscriptions: []consumer.Subscription{{
			Queue: b.queue,
			Handler: func(_ context.Context, d *broker.Delivery) error {
				b.handled <- string(d.Body)
				return nil
			},
		}},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ended.Go(func() {
		if err := c.Run(b.ctx); err != nil {
			b.Error(err)
		}
	})
}

// startRecovery is what amqp091-go offers: its experimental recovery, with its defaults.
func startRecovery(b *bench) {
	connection, err := amqp.DialConfig(b.url, amqp.Config{Recovery: &amqp.Recovery{}})
	if err != nil {
		b.Fatal(err)
	}
	channel, err := connection.Channel()
	if err != nil {
		b.Fatal(err)
	}
	if err := channel.Qos(64, 0, false); err != nil {
		b.Fatal(err)
	}
	deliveries, err := channel.Consume(b.queue, "", false, false, false, false, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ended.Go(func() {
		defer connection.CloseDeadline(time.Now())
		for {
			select {
			case d, ok := <-deliveries:
				if !ok {
					return
				}
				b.handled <- string(d.Body)
				_ = d.Ack(false)
			case <-b.ctx.Done():
				return
			}
		}
	})
}
