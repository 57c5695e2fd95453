package brokertest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// walk is a random one: clients publish, consume and go as they like while faults happen to them.
type walk struct {
	*testing.T
	server *Server
	over   atomic.Bool

	mu        sync.Mutex
	confirmed map[string]bool // bodies

	acked map[string]int // bodies
	frame uint64         // of the last settlement that was counted
}

// Every message that was confirmed is acknowledged once, or in its queue once, whatever happens.
func TestRandomWalk(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Server) {
		seed := uint64(time.Now().UnixNano())
		if s.inMemory {
			seed = rand.Uint64() // the time in a bubble is always the same
		}
		t.Logf("seed %d", seed)
		w := &walk{T: t, server: s, confirmed: make(map[string]bool), acked: make(map[string]int)}
		ok(t, s.DeclareQueue("0", nil))
		ok(t, s.DeclareQueue("1", map[string]any{"x-queue-type": "quorum", "x-delivery-limit": math.MaxInt32}))
		ok(t, s.DeclareQueue("2", map[string]any{"x-single-active-consumer": true}))
		var clients sync.WaitGroup
		for n := range 6 {
			clients.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(n)))
				for session := 0; !w.over.Load(); session++ {
					w.session(random, fmt.Sprintf("%d-%d", n, session))
				}
			})
		}
		w.trouble(rand.New(rand.NewPCG(seed, 99)))
		w.over.Store(true)
		clients.Wait()
		await(t, s, "all are gone", func() bool { return len(s.Connections()) == 0 })
		w.account()
	})
}

// session is a connection's life, of which every call ends in bounded time.
func (w *walk) session(random *rand.Rand, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	conn, err := amqp.DialConfig(w.server.URL(), amqp.Config{Dial: func(string, string) (net.Conn, error) {
		conn, err := w.server.connectTo()
		if err == nil {
			context.AfterFunc(ctx, func() { conn.Close() })
		}
		return conn, err
	}})
	<-time.After(time.Millisecond) // in a bubble time passes only while all wait
	if err != nil {
		return
	}
	ch, err := conn.Channel()
	for n := 0; err == nil && n < 3; n++ {
		queue := fmt.Sprint(random.IntN(3))
		if random.IntN(2) == 0 {
			err = w.publish(ctx, random, ch, queue, fmt.Sprintf("%s-%d", name, n))
		} else {
			err = w.consume(ctx, random, ch, queue)
		}
		if random.IntN(3) == 0 {
			_ = ch.Close()
		}
	}
	if random.IntN(2) == 0 {
		_ = conn.Close()
	}
}

func (w *walk) publish(ctx context.Context, random *rand.Rand, ch *amqp.Channel, queue, name string) error {
	if err := ch.Confirm(false); err != nil {
		return err
	}
	for n := range random.IntN(20) {
		body := fmt.Sprintf("%s-%d", name, n)
		confirm, err := ch.PublishWithDeferredConfirm("", queue, false, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
		if err != nil {
			return err
		}
		if acked, err := confirm.WaitContext(ctx); err != nil || !acked {
			return fmt.Errorf("not confirmed: %w", err)
		}
		w.mu.Lock()
		w.confirmed[body] = true
		w.mu.Unlock()
	}
	return nil
}

func (w *walk) consume(ctx context.Context, random *rand.Rand, ch *amqp.Channel, queue string) error {
	if err := ch.Qos(random.IntN(10), 0, false); err != nil {
		return err
	}
	tag := fmt.Sprint(random.Uint64())
	deliveries, err := ch.Consume(queue, tag, false, false, false, false, nil)
	if err != nil {
		return err
	}
	patience := time.After(20 * time.Millisecond)
	for range random.IntN(30) {
		select {
		case d, open := <-deliveries:
			if !open {
				return amqp.ErrClosed
			}
			switch random.IntN(6) {
			case 0:
				err = d.Nack(random.IntN(2) == 0, true)
			case 1:
				err = d.Reject(true)
			case 2: // not settled
			case 3:
				err = d.Ack(true)
			default:
				err = d.Ack(false)
			}
			if err != nil {
				return err
			}
		case <-patience:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	go func() { // a client library waits until its deliveries were taken
		for range deliveries {
		}
	}()
	return ch.Cancel(tag, false)
}

func (w *walk) trouble(random *rand.Rand) {
	s := w.server
	faults := []Fault{
		Reset(), HangUp(), CloseConnection(320, "trouble"), CloseChannel(406, "trouble"), ConsumerTimeout(), CancelConsumers(),
		Freeze(ToClient), Freeze(FromClient), Freeze(Both), Block("trouble"), Delay(time.Millisecond), Drip(time.Microsecond),
		StopHeartbeats(), StopApp(), RefuseConnections(),
	}
	methods := []string{
		"connection.start-ok", "channel.open", "basic.publish", "basic.ack", "basic.nack", "basic.deliver", "basic.consume",
		"basic.cancel", "channel.close", "connection.close", "basic.qos-ok", "connection.open-ok",
	}
	for range 300 {
		when := OnMethod(methods[random.IntN(len(methods))], 1+random.IntN(20))
		switch random.IntN(4) {
		case 0:
			when = OnFrame(1 + random.IntN(50))
		case 1:
			when = AfterReceived(1 + random.IntN(2000))
		}
		select {
		case <-s.Inject(when, faults[random.IntN(len(faults))]).Played:
		case <-time.After(30 * time.Millisecond):
		}
		w.collect()
		if random.IntN(3) == 0 {
			s.Inject(Now(), Thaw())
			s.Inject(Now(), Unblock())
		}
		if err := s.AcceptConnections(); err != nil {
			w.Error(err)
		}
		if err := s.StartApp(); err != nil {
			w.Error(err)
		}
	}
	s.mu.Lock()
	s.injections.waiting = nil
	s.mu.Unlock()
	s.Inject(Now(), Thaw())
	s.Inject(Now(), Unblock())
}

// collect counts the acknowledgements since it was called last.
func (w *walk) collect() {
	settlements := w.server.Settlements()
	if len(settlements) == remembered && settlements[0].Frame > w.frame+1 {
		w.Fatal("too many settlements to account for")
	}
	last := w.frame
	for _, settled := range settlements {
		if settled.Frame > last && settled.Method == "basic.ack" {
			w.acked[string(settled.Body)]++
		}
		w.frame = settled.Frame
	}
}

func (w *walk) account() {
	w.collect()
	copies, acked := w.acked, len(w.acked)
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	for _, q := range w.server.host("").queues {
		if q.unacked != 0 || len(q.consumers) != 0 || len(q.returning) != 0 {
			w.Errorf("queue %s: %d unacknowledged, %d consumers, %d returning", q.name, q.unacked, len(q.consumers), len(q.returning))
		}
		last := uint64(0)
		for e := q.ready.Front(); e != nil; e = e.Next() {
			entry := e.Value.(*entry)
			if entry.position <= last {
				w.Errorf("queue %s is out of order", q.name)
			}
			last = entry.position
			copies[string(entry.body)]++
		}
	}
	for body := range w.confirmed {
		if copies[body] == 0 {
			w.Errorf("%s was confirmed and is lost", body)
		}
	}
	for body, n := range copies {
		if n > 1 {
			w.Errorf("there are %d of %s", n, body)
		}
	}
	w.Logf("%d connections, %d confirmed, %d acknowledged, %d messages in all",
		w.server.lastID, len(w.confirmed), acked, len(copies))
}
