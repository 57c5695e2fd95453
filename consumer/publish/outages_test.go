package publish_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// How soon messages are confirmed again.
func TestResumes(t *testing.T) {
	for _, row := range []struct {
		name    string
		fault   func(r *rig) // returns when it is over
		within  time.Duration
		trigger fsm.Trigger
	}{
		{"after a reset", func(r *rig) { r.server.Inject(brokertest.Now(), brokertest.Reset()) }, 100 * time.Millisecond, publish.ConnectionError},
		{"after a silent peer", func(r *rig) { r.server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.Both)) }, 4500 * time.Millisecond, publish.HeartbeatFailed},
		{"after a peer that does not answer", func(r *rig) { r.server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.ToClient)) }, 4500 * time.Millisecond, publish.HeartbeatFailed},
		{"after an outage", func(r *rig) {
			r.cutOff()
			time.Sleep(13 * time.Second)
			r.must(r.server.AcceptConnections())
		}, time.Second, publish.ConnectionError},
		{"after a restart", func(r *rig) {
			r.server.StopApp()
			time.Sleep(13 * time.Second)
			r.must(r.server.StartApp())
		}, time.Second, publish.ConnectionError},
		{"after the end of the channel", func(r *rig) {
			r.server.Inject(brokertest.OnMethod("basic.publish", 1), brokertest.CloseChannel(406, "for no reason"))
		}, 100 * time.Millisecond, publish.ChannelError},
	} {
		t.Run(row.name, func(t *testing.T) {
			var slowest time.Duration
			for range 10 { // the pauses of an outage are random
				inRig(t, nil, func(r *rig) {
					r.declare("q")
					r.must(r.within(time.Second, to("q", "0")))
					time.Sleep(time.Minute)
					row.fault(r)
					began := time.Now()
					r.must(r.within(time.Minute, to("q", "1")))
					slowest = max(slowest, time.Since(began))
					r.wantOrder("q", 2)
					if got := r.triggers(); len(got) < 4 || got[2] != row.trigger || got[len(got)-1] != publish.Revived {
						t.Errorf("%v", got)
					}
				})
			}
			t.Logf("at most %v", slowest)
			if slowest > row.within {
				t.Errorf("a message was confirmed %v later, want %v", slowest, row.within)
			}
		})
	}
}

// An alarm: nothing is sent, callers wait, and the state says so. It goes on where it was.
func TestAlarm(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q")
		r.must(r.within(time.Second, to("q", "0")))
		r.server.Alarm("low on disk")
		r.send(to("q", "1")) // RabbitMQ says it to who publishes
		synctest.Wait()
		if s := r.p.State(); s != publish.Blocked {
			t.Fatalf("%s", s)
		}
		began, sent := time.Now(), r.server.Count("basic.publish")
		var waiting []*publish.Confirmation
		for i := range 100 {
			waiting = append(waiting, r.send(to("q", fmt.Sprint(i+2))))
		}
		published := make(chan error, 1)
		go func() { published <- r.p.Publish(context.Background(), to("q", "102")) }()
		time.Sleep(20 * time.Second)
		if n := r.server.Count("basic.publish"); n != sent {
			t.Errorf("%d messages were sent", n-sent)
		}
		if s := r.p.Stats(); !s.BlockedSince.Equal(began) || s.Unconfirmed != 102 {
			t.Errorf("%+v, since %v", s, began)
		}
		r.server.ClearAlarm()
		r.must(<-published)
		for _, c := range waiting {
			r.must(c.Wait(context.Background()))
		}
		if time.Since(began) != 20*time.Second || r.p.State() != publish.Publishing || !r.p.Stats().BlockedSince.IsZero() {
			t.Errorf("%v later: %s, %+v", time.Since(began), r.p.State(), r.p.Stats())
		}
		if twice := r.wantOrder("q", 103); twice != 0 {
			t.Errorf("%d are there twice", twice)
		}
		want := []fsm.Trigger{publish.Connect, publish.Connected, publish.ConnectionBlocked, publish.ConnectionUnblocked}
		if got := r.triggers(); !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
	})
}

// An alarm that lasts longer than any question may take.
func TestLongAlarm(t *testing.T) {
	bad := &broker.Message{Exchange: "missing"}
	for name, begin := range map[string]func(r *rig){
		"nothing in doubt": func(*rig) {},
		"one in doubt":     func(r *rig) { r.server.WithholdConfirms("q") },
		"it begins with a suspect": func(r *rig) {
			r.send(bad)
			synctest.Wait()
			r.server.Alarm("")
			r.send(bad)
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, nil, func(r *rig) {
				r.declare("q")
				r.must(r.within(time.Second, to("q", "0")))
				begin(r)
				r.send(to("q", "1"))
				r.send(bad)
				r.server.Alarm("")
				for i := range 50 {
					r.send(to("q", fmt.Sprint(i+2)))
				}
				time.Sleep(time.Hour)
				r.server.ClearAlarm()
				r.server.ReleaseConfirms("q")
				r.flush(time.Minute)
				t.Logf("%d are there twice; %v, %+v", r.wantOrder("q", 52), r.triggers(), r.p.Stats())
				if r.p.State() != publish.Publishing || r.p.Stats().Unconfirmed != 0 {
					t.Errorf("%s, %+v", r.p.State(), r.p.Stats())
				}
			})
		})
	}
}

// The connection is lost while the main lane is opened again, or another one for what is in doubt.
func TestLostWhileOpeningChannel(t *testing.T) {
	for _, fault := range []brokertest.Fault{brokertest.Reset(), brokertest.HangUp(), brokertest.Freeze(brokertest.Both), brokertest.CloseConnection(320, "x")} {
		for nth := 1; nth <= 4; nth++ {
			for _, method := range []string{"channel.open", "channel.open-ok", "basic.qos", "basic.qos-ok", "channel.close"} {
				t.Run(fmt.Sprint(fault, method, nth), func(t *testing.T) {
					inRig(t, nil, func(r *rig) {
						r.declare("q", "p")
						r.must(r.within(time.Second, to("q", "0")))
						time.Sleep(time.Minute)
						r.server.Inject(brokertest.OnMethod(method, nth), fault)
						for i := range 20 {
							r.send(to("q", fmt.Sprint(i+1)))
							r.send(&broker.Message{Exchange: "missing"})
						}
						r.flush(time.Minute)
						r.wantOrder("q", 21)
						if s := r.p.Stats(); s.Confirmed != 21 || s.Refused != 20 {
							t.Errorf("%+v", s)
						}
						r.must(r.within(time.Minute, to("p", "0")))
						time.Sleep(time.Minute) // the fault may come only now
						r.must(r.within(time.Minute, to("p", "1")))
						if s := r.p.State(); s != publish.Publishing {
							t.Errorf("%s", s)
						}
					})
				})
			}
		}
	}
}

// An alarm comes while the channel is being opened again.
func TestBlockedWhileOpeningChannel(t *testing.T) {
	for nth := 1; nth <= 3; nth++ {
		inRig(t, nil, func(r *rig) {
			r.declare("q")
			r.must(r.within(time.Second, to("q", "0")))
			r.server.Inject(brokertest.OnMethod("channel.open", nth), brokertest.Block("low on memory"))
			r.send(&broker.Message{Exchange: "missing"})
			for i := range 20 {
				r.send(to("q", fmt.Sprint(i+1)))
			}
			time.Sleep(20 * time.Second)
			if s := r.p.Status(); s.State == publish.Blocked && s.BlockedReason != "low on memory" {
				t.Errorf("blocked because of %q", s.BlockedReason)
			}
			r.server.Inject(brokertest.Now(), brokertest.Unblock())
			r.flush(time.Minute)
			r.wantOrder("q", 21)
			t.Log(r.triggers(), r.p.Stats())
			if r.p.State() != publish.Publishing || !r.p.Stats().BlockedSince.IsZero() {
				t.Errorf("%s, %+v", r.p.State(), r.p.Stats())
			}
		})
	}
}

// A side lane that ends while nothing is written to it gives back what is not confirmed there.
func TestIdleSideLaneEnds(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q", "p")
		r.server.WithholdConfirms("q")
		c := r.send(to("q", "0"))
		r.send(&broker.Message{Exchange: "missing"})
		time.Sleep(time.Minute)
		r.server.Inject(brokertest.OnMethod("basic.ack", 1), brokertest.CloseChannel(541, "instead of a confirm"))
		r.server.ReleaseConfirms("q")
		time.Sleep(time.Minute)
		if s := r.p.Stats(); s.Unconfirmed != 0 {
			t.Fatalf("%+v", s)
		}
		r.must(c.Err())
		if twice := r.wantOrder("q", 1); twice != 2 { // the main lane has ended, and then that of its own
			t.Errorf("%d more copies", twice)
		}
	})
}

// A queue is declared on the next connection if one is lost meanwhile.
func TestDeclareThroughCuts(t *testing.T) {
	for _, method := range []string{"channel.open", "queue.declare", "queue.declare-ok"} {
		for _, fault := range []brokertest.Fault{brokertest.Reset(), brokertest.Freeze(brokertest.Both), brokertest.CloseConnection(320, "x")} {
			t.Run(fmt.Sprint(method, fault), func(t *testing.T) {
				inRig(t, nil, func(r *rig) {
					r.declare("p")
					r.must(r.within(time.Second, to("p", "connected")))
					r.server.Inject(brokertest.OnMethod(method, 1), fault)
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					r.must(r.p.DeclareQueue(ctx, "q", broker.QueueOptions{Durable: true}))
					r.must(r.within(time.Second, to("q", "0")))
					var e *broker.Error
					if err := r.p.DeclareQueue(ctx, "q", broker.QueueOptions{}); !errors.As(err, &e) || e.Class != broker.Precondition {
						t.Errorf("%v", err)
					}
					if err := r.p.DeclareQueue(ctx, "", broker.QueueOptions{}); err == nil {
						t.Error("a queue without a name was declared")
					}
				})
			})
		}
	}
}
