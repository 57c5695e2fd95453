package broker

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

func prepare(t *testing.T, s *Session, in Intake) *Consumer {
	t.Helper()
	c, err := s.Consume(t.Context(), 0, in)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func resume(t *testing.T, c *Consumer, in Intake) {
	t.Helper()
	if err := c.Resume(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func cancel(t *testing.T, c *Consumer) {
	t.Helper()
	if err := c.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func wantNothing(t *testing.T, c *Consumer) {
	t.Helper()
	if d, ok := c.Receive(nil); ok {
		t.Errorf("received %+v", d)
	}
}

// wantBodies receives as many as are wanted, and acknowledges none.
func wantBodies(t *testing.T, c *Consumer, bodies ...string) {
	t.Helper()
	for _, want := range bodies {
		if d := take(t, c); string(d.Body) != want {
			t.Errorf("got %s, want %s", d.Body, want)
		}
	}
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		plan.Name = "name"
		s := begin(t, plan)
		c := prepare(t, s, Intake{Paused: true})
		publishTo(t, server, "q", "1", "2", "3", "4")
		cancel(t, c)
		wantNothing(t, c)
		if n := server.Count("basic.consume") + server.Count("basic.cancel"); n != 0 {
			t.Errorf("%d methods were sent for nothing", n)
		}
		var tags []uint64
		for i, want := range []string{"name#0", "name#0/2", "name#0/3"} {
			resume(t, c, Intake{})
			d := take(t, c)
			if d.ConsumerTag != want || string(d.Body) != strconv.Itoa(i+1) {
				t.Errorf("got %+v, want consumer tag %s", d, want)
			}
			tags = append(tags, d.DeliveryTag)
			cancel(t, c)
			cancel(t, c) // sends nothing
			wantNothing(t, c)
		}
		if !slices.Equal(tags, []uint64{1, 2, 3}) || server.Count("basic.cancel") != 3 {
			t.Errorf("delivery tags %v, cancelled %d times", tags, server.Count("basic.cancel"))
		}
		for _, tag := range tags { // of before the last Resume, too
			if err := c.Ack(tag); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if q, _ := server.Queue("q"); q.Ready != 1 || q.Unacknowledged != 0 {
			t.Errorf("the queue: %+v", q)
		}
		wantNoMoreLosses(t, s)
	})
}

func TestIntakePrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology) // prefetch 1
		s := begin(t, plan)
		unacknowledged := func(want int) {
			t.Helper()
			synctest.Wait()
			if q, _ := server.Queue("q"); q.Unacknowledged != want {
				t.Errorf("%d unacknowledged, want %d", q.Unacknowledged, want)
			}
		}
		c := prepare(t, s, Intake{Prefetch: 3})
		publishTo(t, server, "q", "1", "2", "3", "4", "5", "6", "7", "8", "9")
		unacknowledged(3)
		cancel(t, c)
		resume(t, c, Intake{Prefetch: 2})
		unacknowledged(5) // what is outstanding does not count
		cancel(t, c)
		resume(t, c, Intake{})
		unacknowledged(6)
	})
}

// A consumer tag has 255 bytes at most, however many characters that are.
func TestLongConsumerTagsStayTags(t *testing.T) {
	for _, test := range []struct {
		name, plan, tag string
		first, resumed  string
	}{
		{"long", "", strings.Repeat("x", 255), strings.Repeat("x", 255), strings.Repeat("x", 230) + "/2"},
		{"accents", "", strings.Repeat("é", 127), strings.Repeat("é", 127), strings.Repeat("é", 115) + "/2"},
		{"accents, odd", "", "x" + strings.Repeat("é", 127), "x" + strings.Repeat("é", 127), "x" + strings.Repeat("é", 114) + "/2"},
		{"long name", strings.Repeat("n", 255), "", strings.Repeat("n", 200) + "#0", strings.Repeat("n", 200) + "#0/2"},
		{"accents in the name", strings.Repeat("é", 127), "", strings.Repeat("é", 100) + "#0", strings.Repeat("é", 100) + "#0/2"},
		{"wide name", strings.Repeat("蜂", 85), "", strings.Repeat("蜂", 66) + "#0", strings.Repeat("蜂", 66) + "#0/2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				subscription := topology
				subscription.ConsumerTag = test.tag
				server, plan := serve(t, subscription)
				if test.plan != "" {
					plan.Name = test.plan
				}
				c := subscribe(t, begin(t, plan), 0)
				for _, want := range []string{test.first, test.resumed} {
					publishTo(t, server, "q", "1")
					d := take(t, c)
					if d.ConsumerTag != want {
						t.Errorf("consumer tag %q, want %q", d.ConsumerTag, want)
					}
					if err := c.Ack(d.DeliveryTag); err != nil {
						t.Fatal(err)
					}
					cancel(t, c)
					resume(t, c, Intake{})
				}
			})
		})
	}
}

// What is left of before would stay unacknowledged if nobody received it.
func TestWhatIsLeftComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		s := begin(t, plan)
		c := prepare(t, s, Intake{Prefetch: 2})
		publishTo(t, server, "q", "1", "2", "3", "4", "5", "6")
		synctest.Wait()
		for range 2 {
			cancel(t, c)
			resume(t, c, Intake{Prefetch: 2})
			synctest.Wait()
		}
		wantBodies(t, c, "1", "2", "3", "4", "5", "6")
		cancel(t, c)
		wantNothing(t, c)
	})
}

// Those who wait when it is cancelled return; those who come after Resume get what is new.
func TestManyReceiveAcrossAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		s := begin(t, plan)
		c := prepare(t, s, Intake{Prefetch: 100})
		var mu sync.Mutex
		var bodies []string
		receivers := func() *sync.WaitGroup {
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() {
					for d, ok := c.Receive(nil); ok; d, ok = c.Receive(nil) {
						mu.Lock()
						bodies = append(bodies, string(d.Body))
						mu.Unlock()
					}
				})
			}
			return &group
		}
		for i := range 5 {
			group := receivers()
			for k := range 20 {
				publishTo(t, server, "q", strconv.Itoa(100+20*i+k))
			}
			cancel(t, c)
			group.Wait()
			resume(t, c, Intake{Prefetch: 100})
		}
		group := receivers()
		synctest.Wait()
		cancel(t, c)
		group.Wait()
		if slices.Sort(bodies); len(bodies) != 100 || len(slices.Compact(bodies)) != 100 {
			t.Errorf("received %d: %v", len(bodies), bodies)
		}
	})
}

func TestAFailedResumeIsOneLoss(t *testing.T) {
	tests := []struct {
		name  string
		when  brokertest.Moment
		fault brokertest.Fault
		op    string
		want  Class
	}{
		{"the queue is gone", brokertest.Now(), brokertest.DeleteQueue("q"), "consume", NotFound},
		{"qos", brokertest.OnMethod("basic.qos", 1), brokertest.CloseChannel(406, "as told"), "qos", Precondition},
		{"consume", brokertest.OnMethod("basic.consume", 1), brokertest.CloseChannel(403, "as told"), "consume", Auth},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t, topology)
				s := begin(t, plan)
				c := subscribe(t, s, 0)
				cancel(t, c)
				server.Inject(test.when, test.fault)
				err := c.Resume(t.Context(), Intake{})
				wantError(t, err, test.want, ScopeChannel)
				if e, ok := err.(*Error); ok && (e.Op != test.op || e.Queue != "q") {
					t.Errorf("got %+v", e)
				}
				<-c.Lost()
				l := <-s.Losses()
				if l.Consumer != c {
					t.Errorf("got %+v", l)
				}
				wantError(t, l.Err, test.want, ScopeChannel)
				sent := server.Count("basic.qos")
				wantError(t, c.Resume(t.Context(), Intake{}), Network, ScopeChannel)
				if server.Count("basic.qos") != sent {
					t.Error("a lost one was resumed")
				}
				wantNothing(t, c)
				subscribe(t, s, 0) // on the connection that lives
				wantNoMoreLosses(t, s)
			})
		})
	}
}

func TestACancelFromTheBrokerAfterResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		s := begin(t, plan)
		c := prepare(t, s, Intake{Paused: true})
		resume(t, c, Intake{})
		cancel(t, c)
		resume(t, c, Intake{})
		server.Inject(brokertest.Now(), brokertest.CancelConsumers())
		l := <-s.Losses()
		wantError(t, l.Err, Cancelled, ScopeSubscription)
		<-c.Lost()
		wantError(t, c.Resume(t.Context(), Intake{}), Cancelled, ScopeSubscription)
		if n := server.Count("basic.consume"); l.Consumer != c || n != 2 {
			t.Errorf("loss %+v, %d times consumed", l, n)
		}
		wantNoMoreLosses(t, s)
	})
}

func TestIntakeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		s := begin(t, plan)
		c := subscribe(t, s, 0)
		opened := server.Count("channel.open")
		negative := int64(-1)
		for _, in := range []Intake{{Prefetch: -1}, {Prefetch: 65536}, {StreamOffset: &negative}} {
			if _, err := s.Consume(t.Context(), 0, in); err == nil || !strings.HasPrefix(err.Error(), "broker: Consume: Intake.") {
				t.Errorf("Consume(%+v): %v", in, err)
			}
			if err := c.Resume(t.Context(), in); err == nil || !strings.HasPrefix(err.Error(), "broker: Resume: Intake.") {
				t.Errorf("Resume(%+v): %v", in, err)
			}
		}
		if err := c.Resume(t.Context(), Intake{}); err != errSubscribed {
			t.Errorf("Resume while subscribed: %v", err)
		}
		publishTo(t, server, "q", "1")
		wantBodies(t, c, "1") // it is as it was
		if n := server.Count("channel.open") - opened; n != 0 {
			t.Errorf("%d channels were opened", n)
		}
	})
}

func TestCloseWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		s := begin(t, plan)
		c := prepare(t, s, Intake{Paused: true})
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		<-c.Lost()
		cancel(t, c)
		wantError(t, c.Resume(t.Context(), Intake{}), Network, ScopeChannel)
		if n := server.Count("basic.consume"); n != 0 {
			t.Errorf("%d times consumed", n)
		}
		wantNoMoreLosses(t, s)
	})
}

// Each waits for its own answer: amqp091-go does not tell which is whose.
func TestCloseDuringResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		s := begin(t, plan)
		c := prepare(t, s, Intake{Paused: true})
		server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.FromClient))
		resumed, closed := make(chan error, 1), make(chan error, 1)
		go func() { resumed <- c.Resume(t.Context(), Intake{}) }()
		synctest.Wait()
		go func() { closed <- c.Close(t.Context()) }()
		synctest.Wait()
		server.Inject(brokertest.Now(), brokertest.Thaw())
		if err := <-resumed; err != nil {
			t.Errorf("Resume: %v", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
		wantNoMoreLosses(t, s)
	})
}

func TestArgumentsOfThePlanStay(t *testing.T) {
	plans := map[string]any{"x-stream-offset": "first", "x-priority": 1}
	for _, offset := range []int64{0, 7} { // 0 is one, too
		in := Intake{StreamOffset: &offset}
		if got := in.arguments(Subscription{Arguments: plans}); got["x-stream-offset"] != offset || got["x-priority"] != 1 {
			t.Errorf("got %v", got)
		}
		if got := in.arguments(Subscription{}); got["x-stream-offset"] != offset {
			t.Errorf("got %v", got)
		}
	}
	if got := (Intake{}).arguments(Subscription{Arguments: plans}); !maps.Equal(got, plans) {
		t.Errorf("got %v", got)
	}
	if plans["x-stream-offset"] != "first" || len(plans) != 2 {
		t.Errorf("the caller's were changed: %v", plans)
	}
}

func TestReceivedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		c := subscribe(t, begin(t, plan), 0)
		publishTo(t, server, "q", "1")
		time.Sleep(time.Minute) // in the bubble's time
		d := take(t, c)
		if age := time.Since(d.ReceivedAt); age != time.Minute { // whatever came behind it
			t.Errorf("received %v ago", age)
		}
	})
}
