package publish

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
)

// BenchmarkManyTargets measures what a message takes in memory while so many targets wait for room in the window.
func BenchmarkManyTargets(b *testing.B) {
	for _, targets := range []int{10, 1000, 2000, 10_000, 100_000} {
		b.Run(fmt.Sprint(targets), func(b *testing.B) {
			l, on := newLedger(DefaultWindow, DefaultWindowBytes), newLane(defaultCredit)
			l.attach(on)
			send := func(i int) {
				if _, err := l.accept(&broker.Message{Exchange: "x", RoutingKey: fmt.Sprint(i % targets)}); err != nil {
					b.Fatal(err)
				}
			}
			const each = 3
			n := 2*DefaultWindow + each*targets
			for i := range n {
				send(i)
			}
			for i := 0; b.Loop(); i++ {
				l.next(on)
				l.confirmed(on, on.sent, false, true)
				send(n + i)
			}
		})
	}
}

// writeTo writes to a lane as long as it is in use, and counts how often it was to be set aside, which cannot be.
func writeTo(l *ledger, on *lane) (tried *atomic.Int64) {
	tried = new(atomic.Int64)
	go func() {
		for {
			switch c, inUse := l.next(on); {
			case !inUse:
				return
			case c == nil:
				tried.Add(1)
				time.Sleep(time.Millisecond)
				l.stay(on)
			}
		}
	}()
	return tried
}

// A lane that cannot be set aside, as no other channel can be opened, is not filled for that.
func TestCannotSetAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, on := newLedger(10_000, 1<<40), newLane(defaultCredit)
		l.connected()
		l.attach(on)
		tried := writeTo(l, on)
		send := func(key int) {
			if _, err := l.accept(&broker.Message{Exchange: "x", RoutingKey: fmt.Sprint(key)}); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
		}
		for range 2 * defaultCredit { // confirms flow
			send(0)
			synctest.Wait()
			l.confirmed(on, on.sent, false, true)
		}
		for i := range 5000 {
			send(i)
		}
		synctest.Wait()
		l.mu.Lock()
		span := on.span()
		l.mu.Unlock()
		if span > defaultCredit || tried.Load() < 2 || tried.Load() > 100 {
			t.Errorf("%d messages without a confirm, and another lane was wanted %d times", span, tried.Load())
		}
		l.fail(errors.New("the end"))
	})
}

// What gets no confirms is late, but for the time in which the broker does not read, and when all has failed.
func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, on := newLedger(100, 1<<40), newLane(defaultCredit)
		l.connected()
		l.attach(on)
		if _, err := l.accept(&broker.Message{RoutingKey: "q"}); err != nil {
			t.Fatal(err)
		}
		l.next(on)
		l.setAside(on)
		time.Sleep(time.Minute)
		if got := l.lateOn(on, 0); got.messages != 1 || got.name.key != "q" {
			t.Errorf("late: %+v", got)
		}
		l.block(true)
		time.Sleep(time.Minute)
		if got := l.lateOn(on, 0); got.messages != 0 {
			t.Errorf("late while the broker does not read: %+v", got)
		}
		l.block(false)
		if got := l.lateOn(on, 0); got.messages != 0 {
			t.Errorf("late when the broker has just begun to read: %+v", got)
		}
		time.Sleep(time.Minute)
		if got := l.lateOn(on, 0); got.messages != 1 {
			t.Errorf("late long after that: %+v", got)
		}
		l.fail(errors.New("the end"))
		if got := l.lateOn(on, 0); got.messages != 0 {
			t.Errorf("late in the end: %+v", got)
		}
	})
}

// Confirms that come together, now and then, as where each waits for a slow disk, hold hardly anything up, and are no reason to set a
// lane aside, once it is known how long they take.
func TestConfirmsThatTakeLong(t *testing.T) {
	for _, pause := range []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 2 * time.Second} {
		t.Run(pause.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const each = 200 * time.Microsecond
				l, on := newLedger(100_000, 1<<40), newLane(defaultCredit)
				l.connected()
				l.attach(on)
				tried := writeTo(l, on)
				send := func(during time.Duration) {
					for i := range int(during / each) {
						if _, err := l.accept(&broker.Message{Exchange: "x", RoutingKey: fmt.Sprint(i % 3)}); err != nil {
							t.Error(err)
						}
						time.Sleep(each)
					}
					synctest.Wait()
				}
				for range 20 { // until that is known
					send(pause)
					l.confirmed(on, on.sent, true, true)
				}
				tried.Store(0)
				for range 10 {
					send(pause)
					if held := l.used - len(on.open); held > int(2*leastFlowing/each) {
						t.Errorf("%d messages are held up", held)
					}
					l.confirmed(on, on.sent, true, true)
				}
				if n := tried.Load(); n > 0 {
					t.Errorf("another lane was wanted %d times", n)
				}
				l.fail(errors.New("the end"))
			})
		})
	}
}

// A message that ends each connection is found, though it is sent again without a trial at first, and the end of its lane is
// seen before that of the connection.
func TestDeadlyIsFound(t *testing.T) {
	l, main := newLedger(100, 1<<40), newLane(defaultCredit)
	l.connected()
	l.attach(main)
	c, err := l.accept(&broker.Message{RoutingKey: "q"})
	if err != nil {
		t.Fatal(err)
	}
	l.next(main)
	l.disconnected(errors.New("cut"))
	why := &broker.Error{Scope: broker.ScopeConnection, Code: 541}
	deaths := 0
	for ; deaths < 10 && !c.isSettled(); deaths++ {
		epoch, side := l.connected(), newLane(defaultCredit)
		l.addSide(epoch, side)
		if _, _, trial := l.nextDoubtful(epoch); trial {
			l.sideLost(side, why)
		} else {
			l.mu.Lock()
			l.endSide(side, why)
			l.mu.Unlock()
		}
		l.killed(why)
	}
	if deaths != 3 || !errors.Is(c.Err(), why) { // the first one tells nothing
		t.Errorf("after %d connections: %v", deaths, c.Err())
	}
}
