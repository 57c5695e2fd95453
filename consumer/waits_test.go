package consumer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// deafOutbox takes nothing, at once; delays may be another matter.
type deafOutbox struct {
	outbox
	delays  bool
	delayed []failure
}

func (o *deafOutbox) park(context.Context, *Delivery, string, failure) error { return errFails }

func (o *deafOutbox) delay(_ context.Context, _ *Delivery, _ time.Duration, why failure) error {
	if !o.delays {
		return errFails
	}
	o.delayed = append(o.delayed, why)
	return nil
}

var errFails = errors.New("it fails")

// No wait keeps a delivery from the broker for longer than it may be kept: neither one in place, nor one to publish it
// again, nor the one before it goes back.
func TestNoWaitIsTooLong(t *testing.T) {
	const keeps = time.Hour        // as dispatching says
	const ever = 1_000_000 * keeps // the pause is random, and less than an hour once in that many
	long := Backoff{Initial: ever, Max: ever}
	for _, test := range []struct {
		name    string
		s       Subscription
		takes   time.Duration // the handler
		returns error
		delays  bool
		calls   int
		delayed bool // or else it goes back
		at      time.Duration
	}{
		{"a back-off", Subscription{Retry: Retry{Backoff: long}}, keeps / 2, errFails, true, 1, true, keeps / 2},
		{"a back-off after a slow handler", Subscription{}, 2 * keeps, errFails, true, 1, true, 2 * keeps},
		{"a long delay in place", Subscription{Retry: Retry{MaxInPlace: 10 * keeps}}, 0, RetryAfter(2 * keeps), true, 1, true, 0},
		{"a short one, again and again", Subscription{Retry: Retry{MaxInPlace: keeps}}, 0, RetryAfter(keeps / 4), true, 4, true, keeps * 3 / 4},
		{"what cannot be delayed", Subscription{Retry: Retry{Backoff: long}}, 0, errFails, false, 1, false, keeps},
		{"what cannot be parked", Subscription{Retry: Retry{Attempts: 1, Poison: Park, ParkingQueue: "p"}}, 0, errFails, false, 1, false, keeps},
		{"likewise, after a slow handler", Subscription{Retry: Retry{Attempts: 1, Poison: Park, ParkingQueue: "p"}}, 2 * keeps, errFails, false, 1, false, 2 * keeps},
		{"put back, after a long pause", Subscription{RequeuePause: 3 * keeps}, 0, Requeue, false, 1, false, keeps},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls, outbox := 0, &deafOutbox{delays: test.delays}
			test.s.Handler = func(context.Context, *Delivery) error {
				calls++
				time.Sleep(test.takes)
				return test.returns
			}
			dispatching(t, test.s, func(t *testing.T, d *dispatcher, s *plainSource) {
				d.env.outbox = outbox
				began, ended := time.Now(), time.Duration(-1)
				s.nacked = func() { ended = time.Since(began) }
				s.acked = s.nacked
				s.deliveries <- &Delivery{DeliveryTag: 1, ReceivedAt: began}
				time.Sleep(200 * keeps)
				synctest.Wait()
				if ended != test.at {
					t.Errorf("it was settled after %v, want %v", ended, test.at)
				}
				if calls != test.calls || (len(outbox.delayed) == 1) != test.delayed {
					t.Errorf("%d calls, %d times delayed; want %d, %t", calls, len(outbox.delayed), test.calls, test.delayed)
				}
				for _, why := range outbox.delayed {
					if why.attempts != test.calls {
						t.Errorf("delayed after %d attempts, want %d", why.attempts, test.calls)
					}
				}
			})
		})
	}
}

// A pause that nobody ends, and that gives nothing back, is no reason either.
func TestNoWaitIsTooLongInAPause(t *testing.T) {
	dispatching(t, Subscription{
		Handler: func(context.Context, *Delivery) error { return RetryAfter(time.Second) },
	}, func(t *testing.T, d *dispatcher, s *plainSource) {
		began, ended := time.Now(), time.Duration(-1)
		s.nacked = func() { ended = time.Since(began) }
		s.deliveries <- &Delivery{DeliveryTag: 1, ReceivedAt: began}
		time.Sleep(500 * time.Millisecond)
		d.pause()
		d.crew.fallSilent(s)
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		if ended != time.Hour {
			t.Errorf("it was settled after %v", ended)
		}
	})
}
