package consumer_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// hung is a journal that hangs from some event on, until it is told to go on.
type hung struct {
	*book
	at func(fsm.Event) bool
	on chan struct{}
}

func (j *hung) Append(e fsm.Event) error {
	if j.at(e) {
		<-j.on
	}
	return j.book.Append(e)
}

// overheard is a connection on which somebody listens to what is sent.
type overheard struct {
	net.Conn
	hear func([]byte)
}

func (c *overheard) Write(p []byte) (int, error) {
	c.hear(p)
	return c.Conn.Write(p)
}

func (h *hall) wantNotAlive(reasons ...string) consumer.Status {
	h.Helper()
	s := h.c.Status()
	if got := codes(s.NotAlive); !slices.Equal(got, reasons) || s.Alive() != (len(reasons) == 0) {
		h.Errorf("not alive: %+v, want %v", s.NotAlive, reasons)
	}
	return s
}

// Whoever looks does not wait for a disk that hangs; and after half a minute it is no consumer any more.
func TestStatusWhileTheJournalHangs(t *testing.T) {
	t.Parallel()
	var hangs atomic.Bool
	journal := &hung{&book{}, func(fsm.Event) bool { return hangs.Load() }, nil}
	inHall(t, 2, func(h *hall) { h.config.Journal, journal.on = journal, make(chan struct{}); h.sparse.Store(true) }, func(h *hall) {
		h.awaitState(true)
		time.Sleep(time.Hour + time.Second) // and no idle check is under way
		h.wantNotAlive()
		hangs.Store(true)
		began := time.Now()
		h.server.Inject(brokertest.Now(), brokertest.Reset())
		time.Sleep(29 * time.Second)
		s := h.wantNotAlive()
		if s.State == consumer.Reviving { // that is not committed
			h.Errorf("%+v", s)
		}
		h.wantDoing("q0", consumer.DoingConsume, "")
		time.Sleep(2 * time.Second)
		if s := h.wantNotAlive(consumer.ReasonStuck); !s.NotAlive[0].Since.Equal(began) {
			h.Errorf("stuck since %v, want %v", s.NotAlive[0].Since, began)
		}
		time.Sleep(time.Hour)
		h.wantNotAlive(consumer.ReasonStuck)
		hangs.Store(false)
		close(journal.on)
		synctest.Wait()
		h.wantNotAlive()
		h.awaitState(true)
	})
}

// It is not ready before the first delivery is refused.
func TestStatusStopping(t *testing.T) {
	t.Parallel()
	var let chan struct{}
	var refused atomic.Int64
	inHall(t, 1, func(h *hall) {
		let = make(chan struct{})
		h.config.Subscriptions[0].Handler = func(context.Context, *consumer.Delivery) error { <-let; return nil }
		h.config.GracePeriod = 10 * time.Minute
		h.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := h.server.Dial(ctx, network, address)
			return &overheard{c, func(frames []byte) {
				if bytes.Contains(frames, []byte{0, 60, 0, 30}) || bytes.Contains(frames, []byte{0, 60, 0, 120}) { // basic.cancel, basic.nack
					refused.Add(1)
					if h.c.Status().Ready() {
						t.Error("it is ready, and refuses")
					}
				}
			}}, err
		}
	}, func(h *hall) {
		h.awaitState(true)
		time.Sleep(time.Second)
		go h.c.Stop(context.Background())
		synctest.Wait()
		began := time.Now()
		time.Sleep(5 * time.Minute)
		s := h.wantReady(consumer.ReasonStopping)
		if s.State == consumer.Disconnected || began.Sub(s.NotReady[0].Since) > time.Millisecond {
			h.Errorf("stopping: %+v", s)
		}
		if q := h.wantDoing("q0", consumer.DoingStop, ""); q.InFlight != 1 || q.Since != s.NotReady[0].Since {
			h.Errorf("stopping: %+v", q)
		}
		if refused.Load() == 0 {
			h.Error("nothing was refused")
		}
		close(let)
		h.ended <- <-h.ended
		s = h.wantReady(consumer.ReasonStopped)
		if s.State != consumer.Disconnected || len(s.Connections) > 0 {
			h.Errorf("stopped: %+v", s)
		}
		if q := h.wantDoing("q0", consumer.DoingNothing, ""); q.InFlight != 0 || q.Handling.Calls != 1 {
			h.Errorf("stopped: %+v", q)
		}
	})
}

// A stop that hangs is told as such, also where the supervisor turns.
func TestStatusStopHangs(t *testing.T) {
	t.Parallel()
	journal := &hung{&book{}, func(e fsm.Event) bool { return e.Trigger == consumer.Stop }, nil}
	inHall(t, 1, func(h *hall) {
		h.config.Journal, journal.on = journal, make(chan struct{})
		h.config.GracePeriod = 5 * time.Second
	}, func(h *hall) {
		h.awaitState(true)
		time.Sleep(time.Minute)
		go h.c.Stop(context.Background())
		time.Sleep(19 * time.Second)
		h.wantNotAlive()
		time.Sleep(2 * time.Second)
		h.wantNotAlive(consumer.ReasonStopHang)
		time.Sleep(time.Minute)
		h.wantNotAlive(consumer.ReasonStuck, consumer.ReasonStopHang)
		close(journal.on)
		h.ended <- <-h.ended
		h.wantNotAlive()
	})
}

// While everything changes, anybody may look, and as often as he likes.
func TestStatusWhileEverythingChanges(t *testing.T) {
	t.Parallel()
	server := brokertest.NewServer(t)
	var subscriptions []consumer.Subscription
	queues := []string{"a", "b", "c", "d", "e"}
	for i, queue := range queues {
		if err := server.DeclareQueue(queue, nil); err != nil {
			t.Fatal(err)
		}
		s := consumer.Subscription{Queue: queue, Concurrency: 1 + i, RequeuePause: time.Millisecond, Handler: func(_ context.Context, d *consumer.Delivery) error {
			if len(d.Body)%3 == 0 {
				return consumer.Requeue
			}
			return nil
		}}
		if i == 1 {
			s.OrderingKey = func(d *consumer.Delivery) string { return string(d.Body[:1]) }
		}
		subscriptions = append(subscriptions, s)
	}
	c, err := consumer.New(consumer.Config{URLs: []string{server.URL()}, Subscriptions: subscriptions})
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	var looking sync.WaitGroup
	var looks atomic.Int64
	for range 4 {
		looking.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				s := c.Status()
				for q := range s.Subscriptions() {
					if q.InFlight < 0 || q.Waiting < 0 || q.Aside < 0 || q.InFlight > 20 || q.Doing == "" {
						t.Errorf("%+v", q)
					}
				}
				looks.Add(1)
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	ran := make(chan error, 1)
	go func() { ran <- c.Run(context.Background()) }()
	for n := range 40 {
		for _, queue := range queues {
			_ = server.Publish(queue, "x", "xx", "xxx", "y", "yy") // it may be deleted
		}
		h := c.Subscription(queues[n%5])
		switch n % 8 {
		case 0:
			_ = h.Pause()
		case 1:
			_ = h.SetConcurrency(1 + n%7)
		case 2:
			_ = h.SetPrefetch(1 + n)
		case 3:
			server.Inject(brokertest.Now(), brokertest.Reset())
		case 4:
			server.DeleteQueue("e")
		case 5:
			_ = server.DeclareQueue("e", nil)
		case 6:
			for _, queue := range queues {
				_ = c.Subscription(queue).Resume()
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := c.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
	close(over)
	looking.Wait()
	for q := range c.Status().Subscriptions() {
		if q.InFlight != 0 || q.Doing != consumer.DoingNothing {
			t.Errorf("in the end: %+v", q)
		}
	}
	t.Logf("%d looks", looks.Load())
}
