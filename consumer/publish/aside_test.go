package publish_test

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// What goes to a queue that confirms nothing waits beside the others, in order and once, and is told of.
func TestSetAside(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q")
		r.must(r.server.DeclareQueue("stuck", map[string]any{"x-queue-type": "quorum"}))
		r.must(r.within(time.Second, to("stuck", "0")))
		before := r.server.Connections()[0].Channels
		r.server.SuspendQueue("stuck")
		const n = 500
		var sent sync.WaitGroup
		sent.Go(func() {
			for i := range n - 1 {
				r.send(to("stuck", fmt.Sprint(i+1)))
			}
		})
		const others = 1000
		for i := range others {
			r.must(r.within(time.Second, to("q", fmt.Sprint(i))))
			time.Sleep(10 * time.Millisecond)
			r.must(r.p.Check())
		}
		notes := r.notes()
		if len(notes) != 1 || notes[0].Name != publish.NoteUnconfirmed || publish.EvidenceOf(notes[0]).RoutingKey != "stuck" {
			t.Errorf("told of: %+v", notes)
		}
		r.server.ResumeQueue("stuck")
		sent.Wait()
		r.flush(time.Minute)
		for queue, n := range map[string]int{"stuck": n, "q": others} {
			if twice := r.wantOrder(queue, n); twice != 0 {
				t.Errorf("%d copies more in %s", twice, queue)
			}
		}
		synctest.Wait()
		if c := r.server.Connections(); len(c) != 1 || c[0].Channels != before {
			t.Errorf("%d channels are left, of %d", c[0].Channels, before)
		}
		if len(r.triggers()) != 2 {
			t.Errorf("%v", r.triggers())
		}
	})
}

// On a new connection, too, a queue that confirms nothing holds up none of the others: not even what was sent before.
func TestSetAsideThroughCuts(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("stuck", "q")
		r.server.SuspendQueue("stuck")
		const n, cuts = 300, 5
		for i := range n {
			r.send(to("stuck", fmt.Sprint(i)))
		}
		for i := range cuts {
			c := r.send(to("q", fmt.Sprint(i)))
			r.cutOff()
			r.must(r.server.AcceptConnections())
			time.Sleep(3 * time.Second)
			if c.Err() != nil || !isDone(c) {
				t.Errorf("message %d to the other queue: %v", i, c.Err())
			}
			r.must(r.p.Check())
		}
		r.server.ResumeQueue("stuck")
		r.flush(time.Minute)
		r.wantOrder("q", cuts)
		r.wantOrder("stuck", n)
	})
}

func isDone(c *publish.Confirmation) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

// More queues are stuck, one after the other, than there may be lanes aside.
func TestManySetAside(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q")
		const stuck = 100
		for i := range stuck {
			queue := fmt.Sprint("stuck", i)
			r.declare(queue)
			r.server.SuspendQueue(queue)
			r.send(to(queue, "0"))
			time.Sleep(time.Second)
			r.must(r.within(time.Second, to("q", fmt.Sprint(i))))
		}
		if c := r.server.Connections(); len(c) != 1 || c[0].Channels > 70 {
			t.Errorf("channels: %d", c[0].Channels)
		}
		for i := range stuck {
			r.server.ResumeQueue(fmt.Sprint("stuck", i))
		}
		r.flush(time.Minute)
		r.wantOrder("q", stuck)
		if s := r.p.Stats(); s.Confirmed != 2*stuck || s.Resent != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// As many queues are stuck as there are side lanes, and a connection is lost: what was under way to others gets through.
func TestManyStuckThroughACut(t *testing.T) {
	for _, stuck := range []int{1, 7, 8, 20} {
		t.Run(fmt.Sprint(stuck), func(t *testing.T) {
			inRig(t, func(c *publish.Config) { c.Window = 10_000 }, func(r *rig) {
				const healthy, each = 12, 50
				r.declare("connected")
				for range 300 { // confirms flow: all that is sent then is under way
					r.must(r.within(time.Second, to("connected", "")))
				}
				for i := range stuck {
					queue := fmt.Sprint("stuck", i)
					r.declare(queue)
					r.server.SuspendQueue(queue)
					r.send(to(queue, "0"))
				}
				r.server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.ToClient))
				var last []*publish.Confirmation
				for i := range healthy {
					queue := fmt.Sprint("q", i)
					r.declare(queue)
					for i := range each {
						r.send(to(queue, fmt.Sprint(i)))
					}
					last = append(last, r.send(to(queue, fmt.Sprint(each))))
				}
				time.Sleep(time.Minute)
				r.must(r.p.Check())
				if triggers := r.triggers(); !slices.Contains(triggers, publish.HeartbeatFailed) {
					t.Fatalf("no connection was lost: %v", triggers)
				}
				for i, c := range last {
					if !isDone(c) {
						t.Errorf("what was sent to q%d waits", i)
					}
					r.must(r.within(time.Second, to(fmt.Sprint("q", i), fmt.Sprint(each+1))))
					r.wantOrder(fmt.Sprint("q", i), each+2)
				}
				time.Sleep(2 * time.Second)
				told := r.toldAfter(publish.HeartbeatFailed)
				for i := range stuck {
					queue := fmt.Sprint("stuck", i)
					if few := stuck < 8; few && told[queue] != 1 || !few && told[queue] > 1 { // of many, some share a lane
						t.Errorf("after the cut it was told of %s %d times", queue, told[queue])
					}
					r.server.ResumeQueue(queue)
				}
				r.flush(time.Minute)
			})
		})
	}
}

// toldAfter counts after the last such transition how often it was told that a queue confirms nothing.
func (r *rig) toldAfter(trigger fsm.Trigger) map[string]int {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	told := map[string]int{}
	for _, e := range r.events {
		switch {
		case e.Trigger == trigger:
			clear(told)
		case e.Name == publish.NoteUnconfirmed:
			told[publish.EvidenceOf(e).RoutingKey]++
		}
	}
	return told
}

// A queue that confirms nothing is told of where it is the only one, or all are like it; and after a reconnect.
func TestAllAreStuck(t *testing.T) {
	for _, queues := range [][]string{{"a"}, {"a", "b"}} {
		t.Run(fmt.Sprint(queues), func(t *testing.T) {
			inRig(t, nil, func(r *rig) {
				r.declare(queues...)
				for _, q := range queues {
					r.server.SuspendQueue(q)
				}
				for i := range 20 {
					for _, q := range queues {
						r.send(to(q, fmt.Sprint(i)))
					}
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(time.Minute)
				if len(queues) > 1 && len(r.notes()) == 0 { // nobody waits for the only one
					t.Error("it is not told of")
				}
				r.cutOff()
				r.must(r.server.AcceptConnections())
				time.Sleep(time.Minute)
				told := r.toldAfter(publish.Revived)
				for _, q := range queues {
					if told[q] != 1 {
						t.Errorf("after a reconnect %s is told of %d times", q, told[q])
					}
					r.server.ResumeQueue(q)
				}
				r.flush(time.Minute)
			})
		})
	}
}

// A connection that is silent is not taken for a queue that confirms nothing, however long confirms take.
func TestFrozenWithSideLanes(t *testing.T) {
	for freezeAt := time.Duration(0); freezeAt < 3*time.Second; freezeAt += 300 * time.Millisecond {
		t.Run(freezeAt.String(), func(t *testing.T) {
			inRig(t, nil, func(r *rig) {
				queues := []string{"q0", "q1", "q2"}
				r.declare(queues...)
				suspect := &broker.Message{Exchange: "x", RoutingKey: "key"} // is refused, and goes over a side lane from then on
				if err := r.within(5*time.Second, suspect); err == nil {
					t.Fatal("there is such an exchange")
				}
				r.must(r.server.DeclareExchange("x", "fanout", nil))
				r.must(r.server.Bind("x", "", "q0", nil))
				during := func(d time.Duration) { r.sendEach(10*time.Millisecond, d, queues...) }
				r.server.Inject(brokertest.Now(), brokertest.Delay(400*time.Millisecond))
				during(10 * time.Second)
				before := len(r.notes())
				r.send(suspect)
				during(freezeAt)
				r.server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.Both))
				during(300 * time.Millisecond)
				time.Sleep(3 * time.Second)
				for _, e := range r.notes()[before:] {
					t.Errorf("told of %s: %s", publish.EvidenceOf(e).RoutingKey, e.Note)
				}
				r.flush(2 * time.Minute)
			})
		})
	}
}

// sendEach sends to one after another for a while.
func (r *rig) sendEach(pause, during time.Duration, queues ...string) {
	for i := range int(during / pause) {
		r.send(to(queues[i%len(queues)], ""))
		time.Sleep(pause)
	}
}

// Where confirms take long, a queue that confirms nothing gets no more than it may before that is noticed.
func TestStuckWhereConfirmsTakeLong(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q", "stuck")
		r.must(r.within(time.Second, to("q", "")))
		r.server.Inject(brokertest.Now(), brokertest.Delay(200*time.Millisecond))
		r.sendEach(time.Millisecond, 4*time.Second, "q")
		r.server.SuspendQueue("stuck")
		var both sync.WaitGroup
		both.Go(func() { r.sendEach(333*time.Microsecond, 3*time.Second, "stuck") })
		both.Go(func() { r.sendEach(time.Millisecond, 20*time.Second, "q") })
		time.Sleep(20 * time.Second)
		r.server.ResumeQueue("stuck")
		both.Wait()
		r.flush(time.Minute)
		if triggers := r.triggers(); len(triggers) > 2 {
			t.Errorf("the connection is lost: %v", triggers)
		}
	})
}

// Confirms that always take long are no reason to set lanes aside, and do not make it slow.
func TestSlowConfirms(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		const targets, n = 3, 6000
		for i := range targets {
			r.declare(fmt.Sprint("q", i))
		}
		r.must(r.within(time.Second, to("q0", "0")))
		r.server.Inject(brokertest.Now(), brokertest.Delay(300*time.Millisecond))
		opened, began := r.server.Count("channel.open"), time.Now()
		for i := range n {
			r.send(to(fmt.Sprint("q", i%targets), fmt.Sprint(i)))
		}
		r.flush(time.Minute)
		if took := time.Since(began); took > 10*time.Second { // in 300 ms at most a window gets through
			t.Errorf("it took %v", took)
		}
		if more := r.server.Count("channel.open") - opened; more > 3 { // until it is known how long they take
			t.Errorf("%d more channels", more)
		}
	})
}

// A message that ends the connection is found though it was sent again together with others.
func TestDeadlyAfterACut(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q", "p")
		r.must(r.within(time.Second, to("q", "0")))
		r.server.Inject(brokertest.OnMethod("basic.publish", 1), brokertest.Freeze(brokertest.Both))
		deadly := to("p", "x")
		deadly.Headers = map[string]any{"n": math.NaN()}
		c := r.send(deadly)
		for i := range 5 {
			r.send(to("q", fmt.Sprint(i+1)))
		}
		time.Sleep(time.Minute)
		if !isDone(c) || c.Err() == nil {
			t.Errorf("the deadly one: %v, after %v", c.Err(), r.triggers())
		}
		r.flush(time.Minute)
		r.wantOrder("q", 6)
	})
}

// The broker opens few channels: what was under way to many targets gets through all the same, but for that to stuck queues.
func TestFewChannels(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		const stuck, healthy = 5, 12
		r.declare("connected")
		r.must(r.within(time.Second, to("connected", "")))
		for i := range stuck {
			r.declare(fmt.Sprint("stuck", i))
			r.server.SuspendQueue(fmt.Sprint("stuck", i))
			r.send(to(fmt.Sprint("stuck", i), "0"))
		}
		r.server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.ToClient))
		for i := range healthy {
			r.declare(fmt.Sprint("q", i))
			r.send(to(fmt.Sprint("q", i), "0"))
		}
		time.Sleep(time.Minute)
		if triggers := r.triggers(); !slices.Contains(triggers, publish.HeartbeatFailed) {
			t.Fatalf("no connection was lost: %v", triggers)
		}
		for i := range healthy {
			r.must(r.within(time.Minute, to(fmt.Sprint("q", i), "1")))
			r.wantOrder(fmt.Sprint("q", i), 2)
		}
		r.must(r.p.Check())
		for i := range stuck {
			r.server.ResumeQueue(fmt.Sprint("stuck", i))
		}
		r.flush(time.Minute)
	}, brokertest.Config{ChannelMax: 4})
}
