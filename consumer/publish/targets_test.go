package publish_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/publish"
)

// slowest publishes so many messages to a queue, one by one, and returns the longest that one took.
func (r *rig) slowest(queue string, n int) (longest time.Duration) {
	r.Helper()
	for i := range n {
		began := time.Now()
		r.must(r.within(time.Minute, to(queue, fmt.Sprint(i))))
		longest = max(longest, time.Since(began))
	}
	return longest
}

// A queue that withholds its confirms does not delay the messages of others.
func TestStuckQueueDelaysNoOther(t *testing.T) {
	for name, stick := range map[string]func(*brokertest.Server, string){
		"suspended":         (*brokertest.Server).SuspendQueue,
		"confirms withheld": (*brokertest.Server).WithholdConfirms,
	} {
		for _, window := range []int{16, publish.DefaultWindow} {
			t.Run(fmt.Sprintf("%s, a window of %d", name, window), func(t *testing.T) {
				inRig(t, func(c *publish.Config) { c.Window = window }, func(r *rig) {
					r.declare("stuck", "q", "before")
					r.must(r.within(time.Second, to("q", "first")))
					r.server.Inject(brokertest.Now(), brokertest.Delay(5*time.Millisecond))
					before := r.slowest("before", 1000)
					stick(r.server, "stuck")
					var senders sync.WaitGroup
					for i := range 256 {
						senders.Go(func() { r.send(to("stuck", fmt.Sprint(i))) })
					}
					synctest.Wait()
					if after := r.slowest("q", 1000); after > 2*before { // the opening of a channel passes between
						t.Errorf("a message took up to %v, and %v when no queue was stuck", after, before)
					}
					if s := r.p.Stats(); s.Waiting+s.Unconfirmed != 256 || s.Unconfirmed > max(256, window/2) {
						t.Errorf("%+v", s)
					}
					r.server.ReleaseConfirms("stuck")
					r.server.ResumeQueue("stuck")
					senders.Wait()
					r.flush(time.Minute)
					if n := len(r.server.Messages("stuck")); n != 256 {
						t.Errorf("%d messages were stored", n)
					}
				})
			})
		}
	}
}

// However many targets get no confirms, one that does goes on. A few of them leave it a part of the window.
func TestManyStuckQueues(t *testing.T) {
	for _, stuck := range []int{1, 3, 10, 50} {
		t.Run(fmt.Sprint(stuck), func(t *testing.T) {
			inRig(t, func(c *publish.Config) { c.Window = 64 }, func(r *rig) {
				r.declare("q")
				var senders sync.WaitGroup
				for i := range stuck {
					queue := fmt.Sprint("stuck", i)
					r.declare(queue)
					r.server.WithholdConfirms(queue)
					for range 100 {
						senders.Go(func() { r.send(to(queue, "x")) })
					}
				}
				synctest.Wait()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					for i := range 1000 {
						r.send(to("q", fmt.Sprint(i)))
					}
				}()
				select {
				case <-sent:
				case <-time.After(time.Minute):
					t.Errorf("the others stand still: %+v", r.p.Stats())
				}
				for i := range stuck {
					r.server.ReleaseConfirms(fmt.Sprint("stuck", i))
				}
				<-sent
				senders.Wait()
				r.flush(time.Minute)
				r.wantOrder("q", 1000)
				if s := r.p.Stats(); s.Confirmed != uint64(1000+100*stuck) {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// With a target for each message, as with routing keys that are unique, the window still ends somewhere.
func TestWindowOfUniqueKeys(t *testing.T) {
	inRig(t, func(c *publish.Config) { c.Window = 16 }, func(r *rig) {
		r.declare("q")
		r.must(r.server.DeclareExchange("all", "fanout", nil))
		r.must(r.server.Bind("all", "", "q", nil))
		r.server.WithholdConfirms("q")
		var senders sync.WaitGroup
		for i := range 100 {
			senders.Go(func() { r.send(&broker.Message{Exchange: "all", RoutingKey: fmt.Sprint(i)}) })
		}
		synctest.Wait()
		if s := r.p.Stats(); s.Unconfirmed != 32 || s.Waiting != 68 {
			t.Errorf("%+v", s)
		}
		r.server.ReleaseConfirms("q")
		senders.Wait()
		r.flush(time.Minute)
	})
}

// Many targets wait, each with many messages, behind a window that stuck ones have filled: all go on when there is room, in
// turn, and none is forgotten.
func TestManyTargetsWait(t *testing.T) {
	const targets, each = 500, 6
	inRig(t, func(c *publish.Config) { c.Window = 32 }, func(r *rig) {
		r.declare("q")
		r.must(r.server.DeclareExchange("all", "fanout", nil))
		r.must(r.server.Bind("all", "", "q", nil))
		r.server.WithholdConfirms("q")
		var senders sync.WaitGroup
		for i := range each {
			for key := range targets {
				senders.Go(func() {
					r.send(&broker.Message{Exchange: "all", RoutingKey: fmt.Sprint(key), Body: fmt.Append(nil, i)})
				})
			}
			synctest.Wait()
			r.must(r.p.Check())
		}
		if s := r.p.Stats(); s.Unconfirmed != 64 || s.Waiting != targets*each-64 {
			t.Errorf("%+v", s)
		}
		r.server.ReleaseConfirms("q")
		senders.Wait()
		r.flush(time.Minute)
		r.must(r.p.Check())
		last := map[string]string{}
		for _, m := range r.server.Messages("q") {
			if body := string(m.Body); body < last[m.RoutingKey] {
				t.Errorf("%s: %s comes behind %s", m.RoutingKey, body, last[m.RoutingKey])
			}
			last[m.RoutingKey] = string(m.Body)
		}
		if s := r.p.Stats(); s.Confirmed != targets*each || len(last) != targets {
			t.Errorf("%d targets, %+v", len(last), s)
		}
	})
}

// The window is one of bytes, too; a message that is larger than all of it goes alone.
func TestWindowBytes(t *testing.T) {
	inRig(t, func(c *publish.Config) { c.WindowBytes = 10_000 }, func(r *rig) {
		r.declare("q", "p", "large")
		r.server.WithholdConfirms("q")
		r.server.WithholdConfirms("large")
		var senders sync.WaitGroup
		body := make([]byte, 1000)
		for range 20 {
			senders.Go(func() { r.send(&broker.Message{RoutingKey: "q", Body: body}) })
		}
		synctest.Wait()
		if s := r.p.Stats(); s.Unconfirmed < 3 || s.Unconfirmed > 4 { // half of it, with what is around a body
			t.Errorf("%+v", s)
		}
		first := r.send(&broker.Message{RoutingKey: "large", Body: make([]byte, 20_000)})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := r.p.Send(ctx, &broker.Message{RoutingKey: "large", Body: make([]byte, 20_000)})
		r.wantErr(err, publish.ErrNotSent)
		r.slowest("p", 100)
		r.server.ReleaseConfirms("large")
		r.must(first.Wait(context.Background()))
		r.must(r.within(time.Second, &broker.Message{RoutingKey: "large", Body: make([]byte, 20_000)}))
		r.server.ReleaseConfirms("q")
		senders.Wait()
		r.flush(time.Minute)
	})
}

// A queue that withholds its confirms for an hour holds nothing up, and takes no memory with each message that passes it.
// It gets one copy on each connection.
func TestConfirmsWithheldForAnHour(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("stuck", "q")
		r.server.WithholdConfirms("stuck")
		stuck := r.send(to("stuck", "x"))
		for i := range 60 {
			for range 200 {
				r.send(to("q", "y"))
			}
			r.flushOthers(stuck)
			time.Sleep(time.Minute)
			switch i {
			case 19, 39:
				r.server.Inject(brokertest.Now(), brokertest.Reset())
				synctest.Wait()
			}
		}
		if got := len(r.bodies("stuck")); got != 3 {
			t.Errorf("%d copies on 3 connections", got)
		}
		if s := r.p.Stats(); s.Confirmed != 12_000 || s.Unconfirmed != 1 || s.Resent != 2 {
			t.Errorf("%+v", s)
		}
		r.server.ReleaseConfirms("stuck")
		r.must(stuck.Wait(context.Background()))
	})
}

// flushOthers waits until nothing but one message is unconfirmed.
func (r *rig) flushOthers(but *publish.Confirmation) {
	r.Helper()
	for range 600 {
		if r.p.Stats().Unconfirmed == 1 && but.Err() == nil {
			return
		}
		time.Sleep(time.Second)
	}
	r.Fatalf("others wait, too: %+v", r.p.Stats())
}

// Bad messages, one after the other, do not have those of a stuck queue sent again each time.
func TestBadMessagesBesideStuckQueue(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("stuck", "q")
		r.server.WithholdConfirms("stuck")
		const n = 20
		for i := range n {
			r.send(to("stuck", fmt.Sprint(i)))
		}
		for i := range 600 {
			bad := []string{"missing", "gone"}[i%2]
			var refused *broker.Error
			if err := r.within(time.Minute, &broker.Message{Exchange: bad, RoutingKey: fmt.Sprint(i)}); !errors.As(err, &refused) {
				t.Fatal(err)
			}
			r.must(r.within(time.Second, to("q", fmt.Sprint(i))))
			time.Sleep(time.Second)
		}
		if s := r.p.Stats(); s.Resent > 4*n+10 {
			t.Errorf("%d messages were sent again, for %d that wait: %+v", s.Resent, n, s)
		}
		if c := r.server.Connections(); len(c) != 1 || c[0].Channels > 12 {
			t.Errorf("%+v", c)
		}
		r.wantOrder("q", 600)
		r.server.ReleaseConfirms("stuck")
		r.flush(time.Minute)
		t.Logf("%d copies, %v", r.wantOrder("stuck", n), r.triggers())
	})
}

// A message that the broker ends the connection for, such as one with a header that it cannot store, is found, and sent no
// more; those around it are stored in order.
func TestPublishBesideDeadlyMessages(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q", "p")
		deadly := func(body string) *publish.Confirmation {
			m := to("p", body)
			m.Headers = map[string]any{"n": math.NaN()}
			return r.send(m)
		}
		var bad, good []*publish.Confirmation
		for i := range 1000 {
			if i%200 == 100 {
				bad = append(bad, deadly("bad"))
			}
			good = append(good, r.send(to("q", fmt.Sprint(i))))
		}
		r.flush(time.Hour)
		for _, c := range good {
			r.must(c.Err())
		}
		for _, c := range bad {
			var refused *broker.Error
			if !errors.As(c.Err(), &refused) || refused.Code != 541 {
				t.Errorf("a deadly message: %v", c.Err())
			}
		}
		t.Logf("%d twice, %d connections", r.wantOrder("q", 1000), r.server.Count("connection.open"))
	})
}
