package brokertest

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

func TestPolicyRefused(t *testing.T) {
	s := NewInMemoryServer(t, Version("3.10"))
	length := map[string]any{"max-length": 1}
	for _, test := range []struct {
		policy Policy
		want   string
	}{
		{Policy{Pattern: "(", Definition: length}, "pattern"},
		{Policy{}, "empty"},
		{Policy{ApplyTo: "streams", Definition: length}, "ApplyTo"},
		{Policy{VirtualHost: "other", Definition: length}, "no virtual host"},
		{Policy{Definition: map[string]any{"max-length": -1}}, "max-length: {value_negative,-1}"},
		{Policy{Definition: map[string]any{"x-max-length": 1}}, "x-max-length is not known"},
		{Policy{Definition: map[string]any{"alternate-exchange": 1}}, "alternate-exchange"},
	} {
		if err := s.SetPolicy("p", test.policy); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %s", test.policy, err, test.want)
		}
	}
	s.Close()
	if err := s.SetPolicy("p", Policy{Definition: length}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := s.ClearPolicy("", "p"); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// A message keeps the time to live that it came with, and a queue's lease is the policy's at once.
func TestPolicyInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewInMemoryServer(t)
		ok(t, s.DeclareQueue("q", nil))
		ok(t, s.Publish("q", "before"))
		ok(t, s.SetPolicy("p", Policy{Definition: map[string]any{"message-ttl": 1000, "expires": 60000}}))
		ok(t, s.DeclareQueue("own", map[string]any{"x-expires": 30000}))
		ok(t, s.Publish("own", "expires"))
		time.Sleep(2 * time.Second)
		if got := len(s.Messages("q")); got != 1 {
			t.Errorf("%d messages from before the policy, want 1", got)
		}
		if got := len(s.Messages("own")); got != 0 {
			t.Errorf("%d messages, want none", got)
		}
		time.Sleep(40 * time.Second)
		if _, there := s.Queue("own"); there {
			t.Error("the queue's own, shorter lease does not count")
		}
		time.Sleep(20 * time.Second)
		if _, there := s.Queue("q"); there {
			t.Error("the policy's lease does not count")
		}
		ok(t, s.DeclareQueue("q", nil))
		ok(t, s.ClearPolicy("/", "p"))
		time.Sleep(time.Hour)
		if _, there := s.Queue("q"); !there {
			t.Error("the lease counts though the policy is gone")
		}
	})
}

// An operator's policy bounds, and asks for nothing else.
func TestOperatorPolicyRefused(t *testing.T) {
	for version, known := range map[string]bool{"3.10": false, "4.0": true} {
		s := NewInMemoryServer(t, Version(version))
		for _, key := range []string{"dead-letter-exchange", "consumer-timeout", "alternate-exchange"} {
			err := s.SetOperatorPolicy("p", Policy{Definition: map[string]any{key: "x"}})
			if err == nil || !strings.Contains(err.Error(), "operator policy p: "+key+" is not known") {
				t.Errorf("%s: %v", key, err)
			}
		}
		if err := s.SetOperatorPolicy("p", Policy{Definition: map[string]any{"overflow": "drop-head"}}); (err == nil) != known {
			t.Errorf("%s: overflow: %v", version, err)
		}
		if err := s.ClearOperatorPolicy("nowhere", "p"); err == nil || !strings.Contains(err.Error(), "no virtual host") {
			t.Errorf("%v", err)
		}
	}
}

// The versions differ in when they look at a consumer timeout that a policy gives.
func TestPolicyTimesOutLater(t *testing.T) {
	for version, open := range map[string]bool{"4.0": false, "4.3": true} {
		synctest.Test(t, func(t *testing.T) {
			s := NewInMemoryServer(t, Version(version))
			ok(t, s.DeclareQueue("q", map[string]any{"x-queue-type": "quorum"}))
			ok(t, s.Publish("q", "1"))
			p := join(t, s)
			p.send(1, &wire.BasicConsume{Queue: "q"})
			synctest.Wait()
			ok(t, s.SetPolicy("p", Policy{Definition: map[string]any{"consumer-timeout": 1000}}))
			time.Sleep(time.Minute)
			if q := stateOf(t, s, "q"); (q.Unacknowledged == 1) != open {
				t.Errorf("%s: %+v", version, q)
			}
			p.Close()
		})
	}
}

// A delivery is timed from when it was sent, whatever a policy has given meanwhile, and not from when the policy came.
func TestPolicyTimesOutFromDelivery(t *testing.T) {
	const held = 10 * time.Second // when the policy comes
	for _, test := range []struct {
		name         string
		before, then int // milliseconds; 0 is no policy
		overdue      time.Duration
	}{
		{"none before", 0, 15000, 15 * time.Second},
		{"none before, and overdue at once", 0, 5000, held},
		{"longer", 12000, 30000, 30 * time.Second},
		{"shorter", 100000, 15000, 15 * time.Second},
		{"shorter, and overdue at once", 100000, 5000, held},
		{"none any more", 12000, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewInMemoryServer(t, Version("4.0"))
				policy := func(milliseconds int) {
					if milliseconds == 0 {
						ok(t, s.ClearPolicy("", "p"))
						return
					}
					ok(t, s.SetPolicy("p", Policy{Definition: map[string]any{"consumer-timeout": milliseconds}}))
				}
				policy(test.before)
				ok(t, s.DeclareQueue("q", nil))
				ok(t, s.Publish("q", "1", "2"))
				p := join(t, s)
				defer p.Close()
				p.send(1, &wire.BasicQos{PrefetchCount: 1})
				p.send(1, &wire.BasicConsume{Queue: "q"})
				p.send(1, &wire.BasicGet{Queue: "q"})
				synctest.Wait()
				time.Sleep(held)
				policy(test.then)
				if test.overdue == 0 {
					time.Sleep(time.Hour)
				} else {
					time.Sleep(test.overdue - held - time.Millisecond)
				}
				synctest.Wait()
				if q := stateOf(t, s, "q"); test.overdue != held && q.Unacknowledged != 2 {
					t.Errorf("too early: %+v", q)
				}
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				if q := stateOf(t, s, "q"); test.overdue > 0 && q.Unacknowledged != 0 {
					t.Errorf("too late: %+v", q)
				}
			})
		})
	}
}

// A consumer of 4.3 keeps the time that it came with, or that the queue gave then.
func TestPolicyLeavesConsumersTheirTime(t *testing.T) {
	for name, arguments := range map[string]wire.Table{"its own": {"x-consumer-timeout": int32(15000)}, "the queue's": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewInMemoryServer(t, Version("4.3"))
				ok(t, s.DeclareQueue("q", map[string]any{"x-queue-type": "quorum", "x-consumer-timeout": 15000}))
				ok(t, s.Publish("q", "1"))
				p := join(t, s)
				defer p.Close()
				p.send(1, &wire.BasicConsume{Queue: "q", Arguments: arguments})
				time.Sleep(10 * time.Second)
				ok(t, s.SetPolicy("p", Policy{Definition: map[string]any{"consumer-timeout": 12000}}))
				time.Sleep(4 * time.Second)
				if q := stateOf(t, s, "q"); q.Unacknowledged != 1 {
					t.Errorf("after 14 s: %+v", q)
				}
				time.Sleep(2 * time.Second)
				if q := stateOf(t, s, "q"); q.Consumers != 0 {
					t.Errorf("after 16 s: %+v", q)
				}
			})
		})
	}
}

// The old time may end while the new one is being given: its callback has waited for mu, and is too late.
func TestPolicyOvertakesTimer(t *testing.T) {
	for name, arguments := range map[string]map[string]any{"another time": {"x-consumer-timeout": 1000000}, "none": nil} {
		t.Run(name, func(t *testing.T) {
			s := NewInMemoryServer(t, Version("4.0"))
			ok(t, s.SetPolicy("p", Policy{Definition: map[string]any{"consumer-timeout": 500000}}))
			ok(t, s.DeclareQueue("q", arguments))
			ok(t, s.Publish("q", "1"))
			p := join(t, s)
			p.send(1, &wire.BasicConsume{Queue: "q"})
			await(t, s, "it is delivered", func() bool { return stateOf(t, s, "q").Unacknowledged == 1 })
			var ch *channel
			var d *delivery
			var old *time.Timer
			locked(s, func() {
				for c := range s.connections {
					ch = c.channels[1]
				}
				d = ch.unacked.open[0]
				old = d.timer
			})
			ok(t, s.ClearPolicy("", "p"))
			locked(s, func() { d.timeOut(ch, old, time.Second) })
			if q := stateOf(t, s, "q"); q.Unacknowledged != 1 {
				t.Errorf("the old time has ended the channel: %+v", q)
			}
		})
	}
}

// A queue that is new has no deliveries to look for. Who looks for some meets a connection that is none, and panics.
func TestNewQueueLooksForNoDeliveries(t *testing.T) {
	s := NewInMemoryServer(t, Version("4.0"))
	ok(t, s.SetPolicy("p", Policy{Definition: map[string]any{"consumer-timeout": 1000}}))
	s.connections[nil] = struct{}{}
	defer delete(s.connections, nil)
	ok(t, s.DeclareQueue("q", nil))
}
