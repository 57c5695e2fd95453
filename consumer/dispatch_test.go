package consumer

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"
)

// plainSource delivers what it is given, and takes every outcome. To a receiver without a stop it is as if it
// had been cancelled: nothing more comes.
type plainSource struct {
	deliveries chan *Delivery
	lost       chan struct{}
	nacked     func() // called when a delivery goes back
}

func newPlainSource() *plainSource {
	return &plainSource{deliveries: make(chan *Delivery, 100), lost: make(chan struct{}), nacked: func() {}}
}

func (s *plainSource) Receive(stop <-chan struct{}) (*Delivery, bool) {
	select {
	case <-s.lost:
		return nil, false
	default:
	}
	if stop == nil && len(s.deliveries) == 0 {
		return nil, false
	}
	select {
	case d := <-s.deliveries:
		return d, true
	case <-stop:
	case <-s.lost:
	}
	return nil, false
}

func (s *plainSource) Lost() <-chan struct{} { return s.lost }

func (s *plainSource) Ack(uint64) error          { return nil }
func (s *plainSource) AckUpTo(uint64) error      { return nil }
func (s *plainSource) Reject(uint64, bool) error { return nil }

func (s *plainSource) Nack(uint64) error {
	s.nacked()
	return nil
}

// dispatching runs a dispatcher in a bubble, on a source that is attached and not paused.
func dispatching(t *testing.T, s Subscription, test func(*testing.T, *dispatcher, *plainSource)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		config := Config{Subscriptions: []Subscription{s}}.withDefaults()
		d := newDispatcher(config.Subscriptions[0], environment{
			counts: &counts{}, logger: zerolog.Nop(), work: t.Context(),
			dropped: func(Evidence) {}, tripped: func() {},
		})
		d.start()
		source := newPlainSource()
		d.attach(source, d.spec.Prefetch)
		d.resume()
		test(t, d, source)
		d.stop()
		d.wait()
	})
}

// A message that goes back because of a pause, when its id was asked for already, is one message all the same:
// it is not taken for two of one id, of which one has failed.
func TestPauseBetweenIDAndHandler(t *testing.T) {
	var d *dispatcher
	pauses, calls := true, 0
	dispatching(t, Subscription{
		Suppress: 10,
		ID: func(delivery *Delivery) string {
			if pauses {
				d.pause()
			}
			return delivery.MessageID
		},
		Handler: func(context.Context, *Delivery) error { calls++; return nil },
	}, func(t *testing.T, it *dispatcher, s *plainSource) {
		d = it
		s.deliveries <- &Delivery{DeliveryTag: 1, MessageID: "m"}
		synctest.Wait()
		if n := d.env.counts.givenBack.Load(); n != 1 || calls != 0 {
			t.Fatalf("%d went back, %d were handled; want one and none", n, calls)
		}
		pauses = false
		d.resume()
		s.deliveries <- &Delivery{DeliveryTag: 2, MessageID: "m", Redelivered: true}
		s.deliveries <- &Delivery{DeliveryTag: 3, MessageID: "m", Redelivered: true} // the acknowledgement was lost
		synctest.Wait()
		if n := d.env.counts.suppressed.Load(); n != 1 || calls != 1 {
			t.Errorf("it was handled %d times, and suppressed %d times; want once each", calls, n)
		}
	})
}

// What has gone back may be handled before whoever gave it back gets on: that it was not handled before that
// is no later news.
func TestGivenBackAndHandledAtOnce(t *testing.T) {
	handled := make(chan struct{})
	calls := 0
	dispatching(t, Subscription{
		Suppress: 10, Concurrency: 2,
		Handler: func(context.Context, *Delivery) error {
			if calls++; calls == 1 {
				close(handled)
			}
			return nil
		},
	}, func(t *testing.T, d *dispatcher, s *plainSource) {
		s.nacked = func() {
			s.deliveries <- &Delivery{DeliveryTag: 2, MessageID: "m", Redelivered: true}
			d.resume()
			<-handled
		}
		d.pause()
		s.deliveries <- &Delivery{DeliveryTag: 1, MessageID: "m"}
		go d.giveBack(s)
		synctest.Wait()
		s.deliveries <- &Delivery{DeliveryTag: 3, MessageID: "m", Redelivered: true} // the acknowledgement was lost
		synctest.Wait()
		if n := d.env.counts.suppressed.Load(); n != 1 || calls != 1 {
			t.Errorf("it was handled %d times, and suppressed %d times; want once each", calls, n)
		}
	})
}
