package broker

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// numbers of the methods that a Consumer waits for.
var numbers = map[string][2]uint16{
	"channel.open": channelOpen, "channel.close": channelClose, "exchange.declare": {40, 10}, "queue.declare": {50, 10},
	"queue.bind": {50, 20}, "basic.qos": {60, 10}, "basic.consume": {60, 20}, "basic.cancel": basicCancel,
}

// A call that nobody answers ends in time and takes its channel along; what goes on beside it is not touched. When the
// answer comes at last, nothing is left behind.
func TestAnOverdueCallCostsItsChannel(t *testing.T) {
	for _, call := range slices.Concat(steps, ofAConsumer) {
		for _, limit := range []struct {
			name string
			time time.Duration // of the context
			took time.Duration
			want error
		}{
			{"CallTimeout", time.Hour, defaultCallTimeout, errOverdue},
			{"context", time.Second, time.Second, context.DeadlineExceeded},
		} {
			t.Run(call.method+"/"+limit.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server, plan, wire := serveStuck(t, topology)
					if err := server.DeclareQueue("q", nil); err != nil {
						t.Fatal(err)
					}
					s := begin(t, plan)
					accompany(t, server, s)
					var asked *Consumer
					ask := call.on(t, s, &asked)
					publishTo(t, server, "q", "one")
					synctest.Wait()
					wire.hold(call.method)
					ctx, cancel := context.WithTimeout(t.Context(), limit.time)
					defer cancel()
					var err error
					if d := took(func() { err = ask(ctx) }); d != limit.took {
						t.Errorf("took %v", d)
					}
					wantError(t, err, Overdue, ScopeChannel)
					var e *Error
					if !errors.As(err, &e) || e.Op != call.op || e.Queue != "q" || !errors.Is(err, limit.want) {
						t.Errorf("got %+v", e)
					}
					if n := s.Abandoned(); n != 1 || s.Lost() {
						t.Errorf("%d abandoned; lost %t", n, s.Lost())
					}
					if asked != nil {
						<-asked.Lost()
						if err := asked.Ack(1); !errors.Is(err, ErrStale) {
							t.Errorf("Ack: %v", err)
						}
						wantNothing(t, asked)
						if call.method != "channel.close" { // which was asked for
							l := <-s.Losses()
							wantError(t, l.Err, Overdue, ScopeChannel)
							if l.Consumer != asked || l.Err.Op != call.op {
								t.Errorf("got %+v", l)
							}
						}
						for _, again := range []func(context.Context) error{
							asked.Cancel, asked.Close, func(ctx context.Context) error { return asked.Resume(ctx, Intake{}) },
						} {
							if d := took(func() { wantError(t, again(t.Context()), Overdue, ScopeChannel) }); d != 0 {
								t.Errorf("another call waited for %v", d)
							}
						}
					}
					time.Sleep(time.Minute)
					wantNoMoreLosses(t, s)
					wire.release(t)
					wantChannels(t, server, s, 0, 2)
					if q, _ := server.Queue("q"); q.Unacknowledged != 0 || q.Consumers != 0 || q.Ready != 1 {
						t.Errorf("the queue: %+v", q)
					}
					wantNoMoreLosses(t, s)
					subscribe(t, s, 0)
				})
			})
		}
	}
}

// What an abandoned channel delivers goes to nobody, and back to the queue.
func TestDeliveriesOfAnAbandonedChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan, wire := serveStuck(t, Subscription{Queue: "q", Declare: &QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": "quorum"}}, Prefetch: 10})
		s := begin(t, plan)
		accompany(t, server, s)
		c := prepare(t, s, Intake{
			Apart:   func(*Consumer, *Delivery) bool { t.Error("shown"); return false },
			Arrived: func(*Delivery, int64) { t.Error("counted") },
			Paused:  true,
		})
		publishTo(t, server, "q", "1", "2", "3")
		before := subscribe(t, s, 0)
		wantBodies(t, before, "1", "2", "3")
		if err := before.Close(t.Context()); err != nil { // they come with an x-delivery-count from now on
			t.Fatal(err)
		}
		wire.hold("basic.consume")
		wantError(t, c.Resume(t.Context(), Intake{}), Overdue, ScopeChannel)
		wantError(t, (<-s.Losses()).Err, Overdue, ScopeChannel)
		wire.release(t)
		wantChannels(t, server, s, 0, 2)
		if q, _ := server.Queue("q"); q.Ready != 3 || q.Unacknowledged != 0 {
			t.Errorf("the queue: %+v", q)
		}
		if _, tag, _ := c.Waiting(); tag != 0 {
			t.Errorf("delivery tag %d is in memory", tag)
		}
		if d := take(t, subscribe(t, s, 0)); d.Headers["x-delivery-count"] != int64(2) {
			t.Errorf("nothing was delivered meanwhile, so this tests nothing: %+v", d)
		}
	})
}

func TestAbandonedChannelsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		plan.CallTimeout = time.Second
		s := begin(t, plan)
		for i := range 5 {
			server.Inject(brokertest.OnMethod("queue.declare", 1), brokertest.Drop())
			_, err := s.Consume(t.Context(), 0, Intake{})
			wantError(t, err, Overdue, ScopeChannel)
			if n := s.Abandoned(); n != i+1 {
				t.Errorf("%d abandoned after %d calls", n, i+1)
			}
		}
		if d := took(s.Abort); d != 0 || s.Abandoned() != 0 { // what is left over, the bubble finds
			t.Errorf("aborted after %v, %d abandoned", d, s.Abandoned())
		}
		_, err := s.Consume(t.Context(), 0, Intake{})
		wantError(t, err, Unknown, ScopeConnection)
	})
}

// The queue's silence is not the connection's, and hides that from nobody.
func TestSilenceBesideAnAbandonedChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan, wire := serveStuck(t, topology)
		s := begin(t, plan)
		wire.hold("queue.declare")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Consume(ctx, 0, Intake{})
		wantError(t, err, Overdue, ScopeChannel)
		time.Sleep(time.Minute)
		if s.Lost() {
			t.Error("the connection is lost")
		}
		if err := s.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.Both))
		var l Loss
		if d := took(func() { l = <-s.Losses() }); d > patience {
			t.Errorf("noticed after %v", d)
		}
		wantError(t, l.Err, Heartbeat, ScopeConnection)
		synctest.Wait()
		if n := s.Abandoned(); n != 0 {
			t.Errorf("%d are abandoned on a connection that has ended", n)
		}
	})
}

// Who waits behind a call that hangs has limits of his own, and the channel is closed by whoever can.
func TestBehindAnOverdueCall(t *testing.T) {
	closing := func(c *Consumer, ctx context.Context) error { return c.Close(ctx) }
	cancelling := func(c *Consumer, ctx context.Context) error { return c.Cancel(ctx) }
	for _, test := range []struct {
		name     string
		behind   func(*Consumer, context.Context) error
		context  time.Duration
		took     time.Duration // begun after a second
		cause    error
		losses   int
		answered time.Duration // 0: never
		resumed  bool          // the call that hung is answered before it is overdue
	}{
		{"closing, until the other is overdue", closing, time.Hour, defaultCallTimeout - time.Second, errOverdue, 0, 0, false},
		{"closing, until the context ends", closing, time.Second, time.Second, context.DeadlineExceeded, 0, 0, false},
		{"closing, and the other is answered", closing, time.Second, time.Second, context.DeadlineExceeded, 0, 5 * time.Second, true},
		{"cancelling, until the other is overdue", cancelling, time.Hour, defaultCallTimeout - time.Second, errOverdue, 1, 0, false},
		{"cancelling, until the context ends", cancelling, time.Second, time.Second, context.DeadlineExceeded, 1, 0, false},
		{"cancelling, and the other is answered", cancelling, time.Second, time.Second, context.DeadlineExceeded, 1, 5 * time.Second, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan, wire := serveStuck(t, topology)
				s := begin(t, plan)
				accompany(t, server, s)
				c := prepare(t, s, Intake{Paused: true})
				wire.hold("basic.consume")
				resumed := make(chan error, 1)
				go func() { resumed <- c.Resume(t.Context(), Intake{}) }()
				time.Sleep(time.Second)
				if test.answered != 0 {
					time.AfterFunc(test.answered-time.Second, func() { wire.release(t) })
				}
				ctx, cancel := context.WithTimeout(t.Context(), test.context)
				defer cancel()
				var err error
				if d := took(func() { err = test.behind(c, ctx) }); d != test.took || !errors.Is(err, test.cause) {
					t.Errorf("%v after %v", err, d)
				}
				wantError(t, err, Overdue, ScopeChannel)
				if err := <-resumed; (err == nil) != test.resumed {
					t.Errorf("the other: %v", err)
				}
				for range test.losses {
					wantError(t, (<-s.Losses()).Err, Overdue, ScopeChannel)
				}
				wantNoMoreLosses(t, s)
				if test.answered == 0 {
					wire.release(t)
				}
				wantChannels(t, server, s, 0, 2)
				wantNoMoreLosses(t, s)
			})
		})
	}
}

// Under an alarm the queue is not to blame.
func TestNothingIsOverdueWhileTheBrokerDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		s := begin(t, plan)
		server.Inject(brokertest.Now(), brokertest.Block(""))
		<-s.BlockedChanges()
		time.AfterFunc(2*defaultCallTimeout+time.Second, func() { server.Inject(brokertest.Now(), brokertest.Unblock()) })
		subscribe(t, s, 0)
		server.Inject(brokertest.Now(), brokertest.Block(""))
		synctest.Wait()
		var err error
		if d := took(func() { _, err = s.Consume(t.Context(), 0, Intake{}) }); d != alarmFactor*defaultCallTimeout {
			t.Errorf("given up after %v", d)
		}
		wantError(t, err, Overdue, ScopeChannel)
	})
}

// A difference that is known is told, whatever becomes of the next.
func TestOverdueDifferences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan, wire := serveStuck(t, topology)
		s := begin(t, plan)
		accompany(t, server, s)
		if err := server.DeclareQueue("q", nil); err != nil { // durable, as the plan does not say
			t.Fatal(err)
		}
		c := subscribe(t, s, 0)
		wire.hold("queue.declare")
		var got []*Error
		if d := took(func() { got = c.Differences(t.Context()) }); d != defaultCallTimeout || len(got) != 0 {
			t.Errorf("%v after %v", got, d)
		}
		publishTo(t, server, "q", "1")
		if err := c.Ack(take(t, c).DeliveryTag); err != nil { // it is on another channel
			t.Error(err)
		}
		wantChannels(t, server, s, 1, 4)
		wire.release(t)
		wantChannels(t, server, s, 0, 3)
		wantNoMoreLosses(t, s)
	})
}

// RabbitMQ would not answer connection.close. That it has read what was acknowledged needs to be known all the same.
func TestCloseBesideAnAbandonedChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan, wire := serveStuck(t, topology)
		s := begin(t, plan)
		c, neighbour := subscribe(t, s, 0), subscribe(t, s, 1)
		wire.hold("basic.cancel")
		wantError(t, c.Cancel(t.Context()), Overdue, ScopeChannel)
		publishTo(t, server, "neighbour", "1")
		tag := take(t, neighbour).DeliveryTag
		const late = time.Second
		server.Inject(brokertest.OnMethod("basic.ack", 1), brokertest.Delay(late))
		if err := neighbour.Ack(tag); err != nil {
			t.Error(err)
		}
		if d := took(func() {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}); d != late || server.Count("connection.close") != 0 || len(server.Settlements()) != 1 {
			t.Errorf("closed after %v; %d settled", d, len(server.Settlements()))
		}
	})
}
