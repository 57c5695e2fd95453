package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// silentDial connects to nothing: the dial waits until it is told to stop.
func silentDial(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Disconnected: Stop before Run makes Run return at once.
func TestStopBeforeRun(t *testing.T) {
	t.Parallel()
	c, err := consumer.New(consumer.Config{
		URLs:          []string{"amqp://127.0.0.1:1"},
		Dial:          silentDial,
		Subscriptions: []consumer.Subscription{{Queue: "q", Handler: ignore}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	if err := c.Run(t.Context()); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := c.Run(t.Context()); !errors.Is(err, consumer.ErrAlreadyRun) {
		t.Errorf("second Run: %v; want ErrAlreadyRun", err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Errorf("Stop after Run: %v", err)
	}
}

func ignore(context.Context, *consumer.Delivery) error { return nil }

func TestStopWhileConnecting(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.proxy.Freeze(rabbittest.Both)
	r.start()
	r.awaitState(consumer.Connecting)
	r.stop()
	r.check("stop_connecting")
}

func TestStopWhileConsuming(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.flows()
	stopped := make(chan error, 2)
	for range cap(stopped) {
		go func() { stopped <- r.c.Stop(context.Background()) }()
	}
	for range cap(stopped) {
		if err := <-stopped; err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	if err := r.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
	r.check("first_connect")
}

func TestStopWhileHeartbeatCheck(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.config.ProbeTimeout = patience // it stops before
	r.start()
	r.flows()
	r.proxy.Freeze(rabbittest.Both)
	r.awaitState(consumer.HeartbeatCheck)
	r.stop()
	r.check("stop_heartbeat_check")
}

func TestStopWhileReviving(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.flows()
	r.proxy.Refuse()
	r.awaitState(consumer.Reviving)
	r.stop()
	r.check("stop_reviving")
}

// The context's end is a soft stop: what is in flight is finished and acknowledged, what is only
// prefetched goes back to the queue.
// Nothing is left to do but to say goodbye, and the broker does not answer: the caller's patience counts,
// not the broker's.
func TestStopIsCutShortInTheFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, shapes[0], matrixBrokers[0], matrixFault{})
		s.start()
		s.settled(consumer.Consuming)
		s.server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.Both))
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := s.c.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v, want DeadlineExceeded", err)
		}
		if took := time.Since(begin); took > 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestContextEndStops(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	began, release := make(chan struct{}), make(chan struct{})
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		close(began) // a second delivery would panic, and be counted as failed
		<-release
		return ctx.Err()
	}
	c, err := consumer.New(r.config)
	if err != nil {
		t.Fatal(err)
	}
	r.c = c
	ctx, cancel := context.WithCancel(context.Background())
	go func() { r.result <- c.Run(ctx) }()
	r.publish(10)
	<-began
	cancel()
	r.await("the consumer to be cancelled at the broker", func() bool { return r.consumers() == 0 })
	close(release)
	if err := r.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if s := c.Stats(); s != (consumer.Stats{Acknowledged: 1, ReturnedUnstarted: s.ReturnedUnstarted}) { // not all had come, perhaps
		t.Errorf("stats %+v, want one handled", s)
	}
	if ready := r.ready(); ready != 9 {
		t.Errorf("%d messages in the queue, want 9", ready)
	}
	r.check("first_connect")
}

// A handler that does not finish within the grace period is cancelled; its message goes back.
func TestGracePeriodCancelsHandlers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.config.GracePeriod = 50 * time.Millisecond
	began := make(chan struct{})
	r.config.Subscriptions[0].Handler = func(ctx context.Context, _ *consumer.Delivery) error {
		close(began)
		<-ctx.Done()
		return ctx.Err()
	}
	r.start()
	r.publish(1)
	<-began
	r.stop() // the handler returned in time, once it was told
	if ready := r.ready(); ready != 1 {
		t.Errorf("%d messages in the queue, want 1", ready)
	}
}

// A handler that ignores its context is left behind, and Run says so.
func TestStuckHandlerDoesNotKeepRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	began, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	r.config.Subscriptions[0].Handler = func(context.Context, *consumer.Delivery) error {
		close(began)
		<-release
		return nil
	}
	r.start()
	r.publish(1)
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.c.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v; want context.Canceled", err)
	}
	if err := r.end(); !errors.Is(err, consumer.ErrUnfinished) {
		t.Errorf("Run: %v; want ErrUnfinished", err)
	}
	if ready := r.ready(); ready != 1 {
		t.Errorf("%d messages in the queue, want 1", ready)
	}
}

// ready is how many messages wait in the queue, once nothing is unacknowledged any more.
func (r *rig) ready() (ready int) {
	r.Helper()
	rabbittest.NeedsControl(r)
	r.await("nothing unacknowledged", func() bool {
		n, unacked, err := r.node.Depth(r.Context(), r.queue)
		ready = n
		return err == nil && unacked == 0
	})
	return ready
}

// With PutBack an error and a panic put the message back after a pause; it comes again until it succeeds.
func TestFailedDeliveryComesAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	attempts := 0
	r.config.Subscriptions[0].Retry = consumer.Retry{Attempts: 1, Poison: consumer.PutBack}
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		attempts++
		switch {
		case attempts == 1:
			return errors.New("not yet")
		case attempts == 2:
			panic("not yet either")
		case attempts == 3:
			return fmt.Errorf("on purpose: %w", consumer.Requeue) // no failure
		case !d.Redelivered:
			return errors.New("a redelivery does not say so")
		}
		return r.handle(ctx, d)
	}
	r.start()
	r.publish(1)
	r.awaitHandled()
	r.stop()
	if s := r.c.Stats(); s != (consumer.Stats{Acknowledged: 1, Failed: 2, Kept: 3}) {
		t.Errorf("stats %+v, want one handled and two failed", s)
	}
	if got := r.log.String(); !contains(got, "not yet either", "stop_test.go", "not yet") {
		t.Errorf("the log lacks the errors or the stack:\n%s", got)
	}
}

// The connection is cut while a handler works: its acknowledgement is not sent on the new connection,
// the message comes again.
func TestStaleAcknowledgementIsFenced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	began, release := make(chan struct{}), make(chan struct{})
	r.config.Subscriptions[0].Concurrency = 2
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if string(d.Body) == "message 1" && !d.Redelivered {
			close(began)
			<-release
		}
		return r.handle(ctx, d)
	}
	r.start()
	r.publish(1)
	<-began
	n := r.events()
	r.proxy.Reset()
	r.awaitEvent(n, consumer.Revived)
	r.publish(2) // on the new channel, tags begin at 1 again
	r.await("the redelivery", func() bool { return r.c.Stats().Acknowledged == 3 })
	close(release)
	r.await("the late acknowledgement to be dropped", func() bool { return r.c.Stats().Stale == 1 })
	r.await("the event", func() bool {
		for _, e := range r.journal.Events() {
			if why := consumer.EvidenceOf(e); e.Name == consumer.StaleOutcome && why.Generation == 1 && why.Queue == r.queue {
				return true
			}
		}
		return false
	})
	r.flows()
	r.stop()
}

// An observer that blocks or panics harms nobody.
func TestObserversCannotHarm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stuck := make(chan struct{})
	seen := make(chan fsm.Event, 100)
	r.config.Observers = []func(fsm.Event){
		func(fsm.Event) { <-stuck },
		func(fsm.Event) { panic("observer") },
		func(e fsm.Event) { seen <- e },
	}
	r.start()
	r.flows()
	r.stop()
	close(stuck)
	for last, end := uint64(0), r.lastEvent().Seq; last < end; last++ {
		select {
		case e := <-seen:
			if e.Seq != last+1 {
				t.Fatalf("event %d after %d", e.Seq, last)
			}
		case <-time.After(patience):
			t.Fatalf("the observer saw events up to %d, want %d", last, end)
		}
	}
}

// A journal that refuses an event ends the run with its error, at every event.
func TestVetoEndsRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.config.DrainTimeout = 50 * time.Millisecond
	for refuse, trigger := range map[uint64]fsm.Trigger{
		2: consumer.Connect, 3: consumer.Connected, 4: consumer.DrainTimeout, 5: consumer.HeartbeatOK,
	} {
		t.Run(string(trigger), func(t *testing.T) {
			config := r.config
			full := errors.New("disk full")
			config.Journal = &refusing{Ring: fsm.NewRing(16), at: refuse, err: full}
			c, err := consumer.New(config)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Run(t.Context()); !errors.Is(err, fsm.ErrVetoed) || !errors.Is(err, full) {
				t.Errorf("Run: %v; want ErrVetoed and the journal's error", err)
			}
		})
	}
}

// A veto lets handlers finish, and their acknowledgements arrive.
func TestVetoStops(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.config.DrainTimeout = 50 * time.Millisecond
	journal := &refusing{Ring: fsm.NewRing(16), at: 4, err: errors.New("disk full"), refused: make(chan struct{})}
	r.config.Journal = journal
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		<-journal.refused
		return ctx.Err()
	}
	r.publish(1)
	c, err := consumer.New(r.config)
	r.must(err)
	if err := c.Run(t.Context()); !errors.Is(err, fsm.ErrVetoed) {
		t.Errorf("Run: %v; want ErrVetoed", err)
	}
	if s := c.Stats(); s != (consumer.Stats{Acknowledged: 1}) {
		t.Errorf("%+v, want one handled", s)
	}
}

type refusing struct {
	*fsm.Ring
	at  uint64
	err error

	once    sync.Once
	refused chan struct{} // if set, closed by the first refusal
}

func (j *refusing) Append(e fsm.Event) error {
	if e.Seq >= j.at {
		if j.refused != nil {
			j.once.Do(func() { close(j.refused) })
		}
		return j.err
	}
	return j.Ring.Append(e)
}
