package broker

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
)

// takes has the peer take bytes, so many each time.
func takes(peer net.Conn, bytes int, every time.Duration) {
	for {
		time.Sleep(every)
		if _, err := io.ReadFull(peer, make([]byte, bytes)); err != nil {
			return
		}
	}
}

func TestWriteDeadlineFollowsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer time.Sleep(time.Minute) // until the peer has noticed the end
		defer far.Close()
		c := newConn(near, 4*time.Second)
		defer c.abort()
		go takes(far, 1, 3*time.Second)
		var n int
		var err error
		if d := took(func() { n, err = c.Write(make([]byte, 100)) }); d != 300*time.Second || n != 100 || err != nil {
			t.Errorf("wrote %d bytes in %v: %v", n, d, err)
		}
	})
}

func TestWriteEndsWhenThereIsNoMoreProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer time.Sleep(time.Minute) // until the peer has noticed the end
		defer far.Close()
		c := newConn(near, 4*time.Second)
		defer c.abort()
		go func() {
			time.Sleep(2 * time.Second)
			far.Read(make([]byte, 10))
		}()
		var n int
		var err error
		d := took(func() { n, err = c.Write(make([]byte, 100)) })
		if n != 10 || !errors.Is(err, os.ErrDeadlineExceeded) || d < 6*time.Second || d > 7*time.Second {
			t.Errorf("wrote %d bytes, ended after %v: %v", n, d, err)
		}
	})
}

func TestWhatAPeerTakesIsASignOfLife(t *testing.T) {
	tests := []struct {
		name  string
		write int
		peer  func(far net.Conn)
		alive bool
	}{
		{"a large write that goes on", 1 << 20, func(far net.Conn) { takes(far, 10<<10, time.Second) }, true},
		{"a little of it now and then", 100, func(far net.Conn) { takes(far, 1, time.Second) }, true},
		{"a small write at once", 100, func(far net.Conn) { takes(far, 100, 0) }, false},
		{"a large write at once", 1 << 20, func(far net.Conn) { takes(far, 1<<20, 0) }, false},
		{"nothing", 1 << 20, func(net.Conn) {}, false},
		{"a part at once, then nothing", 1 << 20, func(far net.Conn) { far.Read(make([]byte, 100<<10)) }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer time.Sleep(time.Minute) // until the peer has noticed the end
				defer far.Close()
				c := newConn(near, time.Minute)
				c.writeSlice = time.Second / 2
				defer c.abort()
				life := c.arrived()
				go test.peer(far)
				go c.Write(make([]byte, test.write))
				time.Sleep(10 * time.Second)
				if silence := c.silence(); (silence <= time.Second) != test.alive {
					t.Errorf("silence %v", silence)
				}
				if isClosed(life) != test.alive {
					t.Errorf("announced: %t", isClosed(life))
				}
			})
		})
	}
}

// slowly is a broker behind a slow network, and a plan that soon takes it for dead. It sends no heartbeat
// meanwhile.
func slowly(t *testing.T, way rabbittest.Direction, subscriptions ...Subscription) (*brokertest.Server, *rabbittest.Proxy, Plan) {
	t.Helper()
	server := brokertest.NewServer(t)
	proxy, err := rabbittest.NewProxy(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	proxy.Limit(way, slowRate)
	endpoints, err := ParseEndpoints(proxy.URL(server.URL()))
	if err != nil {
		t.Fatal(err)
	}
	return server, proxy, Plan{
		Endpoints: endpoints, Subscriptions: subscriptions, ConnectTimeout: 30 * time.Second,
		Heartbeat: time.Minute, DrainTimeout: time.Second, ProbeTimeout: 4 * time.Second, // less than a large message takes
	}
}

const (
	slowRate  = 500_000 // bytes a second
	slowBytes = 10 * slowRate
)

func makeQueue(t *testing.T, server *brokertest.Server) {
	t.Helper()
	if err := server.DeclareQueue("q", nil); err != nil {
		t.Fatal(err)
	}
}

func TestALargeMessageGoesOutSlowly(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	t.Parallel()
	server, _, plan := slowly(t, rabbittest.ToBroker)
	makeQueue(t, server)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := OpenPublisher(ctx, plan)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(ctx)
	c, err := p.Publish(ctx, Message{RoutingKey: "q", Body: make([]byte, slowBytes)})
	if err == nil {
		err = c.Wait(ctx)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestALargeMessageComesInSlowly(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	t.Parallel()
	server, _, plan := slowly(t, rabbittest.ToClient, Subscription{Queue: "q", Declare: &QueueOptions{}, Prefetch: 1})
	s := begin(t, plan)
	guard, unguard := context.WithCancel(t.Context())
	var guards sync.WaitGroup
	guards.Go(func() { s.guard(guard) })
	defer guards.Wait()
	defer unguard()
	c := subscribe(t, s, 0)
	publishTo(t, server, "q", string(make([]byte, slowBytes)))
	late, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select { // Receive may miss what comes with the end
	case l := <-s.Losses():
		t.Fatal(l.Err)
	case <-received(late, c):
	}
	if s.Lost() {
		t.Error("lost")
	}
}

func received(ctx context.Context, c *Consumer) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		if _, ok := c.Receive(ctx.Done()); ok {
			close(done)
		}
	}()
	return done
}

func TestAPeerThatStallsAmidALargeMessageIsFoundDead(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	t.Parallel()
	server, proxy, plan := slowly(t, rabbittest.ToBroker)
	makeQueue(t, server)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := OpenPublisher(ctx, plan)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(ctx)
	time.AfterFunc(2*time.Second, func() { proxy.Freeze(rabbittest.ToBroker) })
	began := time.Now()
	c, err := p.Publish(ctx, Message{RoutingKey: "q", Body: make([]byte, slowBytes)})
	if err == nil {
		err = c.Wait(ctx)
	}
	wantError(t, err, Heartbeat, ScopeConnection)
	if !errors.Is(err, errSilent) {
		t.Errorf("not found by a probe: %v", err)
	}
	t.Logf("found dead %v after it stalled", time.Since(began)-2*time.Second)
}
