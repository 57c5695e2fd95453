package health_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/fsm"
)

// pod is a consumer of three queues with its probes, and its broker, in one bubble of synthetic time.
type pod struct {
	*testing.T
	server  *brokertest.Server
	probes  *health.Server
	journal *gate
	handle  consumer.Handler
	c       *consumer.Consumer
	stop    context.CancelFunc
	ended   chan error

	mu   sync.Mutex
	sent []sent
}

// sent is a method that the consumer was about to send, and what /readyz answered then.
type sent struct {
	method string
	ready  int
}

// gate is a journal that can be shut: whoever appends waits.
type gate struct {
	*fsm.Ring
	open chan struct{} // holds a token
}

func newGate() *gate {
	g := &gate{fsm.NewRing(100), make(chan struct{}, 1)}
	g.open <- struct{}{}
	return g
}

func (g *gate) Append(e fsm.Event) error {
	<-g.open
	defer func() { g.open <- struct{}{} }()
	return g.Ring.Append(e)
}

var queuesOfPod = []string{"orders", "mails", "audit"}

func inPod(t *testing.T, test func(p *pod)) {
	synctest.Test(t, func(t *testing.T) {
		p := &pod{
			T: t, server: brokertest.NewInMemoryServer(t), journal: newGate(), ended: make(chan error, 1),
			handle: func(context.Context, *consumer.Delivery) error { return nil },
		}
		config := consumer.Config{URLs: []string{p.server.URL()}, Dial: p.dial, Name: "pod", Journal: p.journal}
		for _, queue := range queuesOfPod {
			if err := p.server.DeclareQueue(queue, nil); err != nil {
				t.Fatal(err)
			}
			config.Subscriptions = append(config.Subscriptions, consumer.Subscription{
				Queue: queue, Handler: func(ctx context.Context, d *consumer.Delivery) error { return p.handle(ctx, d) },
			})
		}
		events := health.NewEvents()
		config.Observers = []func(fsm.Event){events.Observe}
		c, err := consumer.New(config)
		if err != nil {
			t.Fatal(err)
		}
		p.c, p.probes = c, health.New(c, events, health.Options{})
		var ctx context.Context
		ctx, p.stop = context.WithCancel(t.Context())
		defer func() {
			p.stop()
			_ = c.Stop(ctx)
			time.Sleep(time.Minute) // for timers
		}()
		test(p)
	})
}

func (p *pod) run() {
	ctx, stop := context.WithCancel(p.Context())
	p.stop = stop
	go func() { p.ended <- p.c.Run(ctx) }()
}

func (p *pod) livez() int  { return get(p.probes, "/livez").Code }
func (p *pod) readyz() int { return get(p.probes, "/readyz").Code }

// expect looks at both, again and again.
func (p *pod) expect(live, ready int, lasting, every time.Duration) {
	p.Helper()
	for begin := time.Now(); ; time.Sleep(every) {
		synctest.Wait()
		if l, r := p.livez(), p.readyz(); l != live || r != ready {
			p.Fatalf("after %v: /livez %d, /readyz %d; want %d, %d\n%s", time.Since(begin), l, r, live, ready, get(p.probes, "/readyz").Body)
		}
		if time.Since(begin) >= lasting {
			return
		}
	}
}

// dial looks at what the consumer sends.
func (p *pod) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := p.server.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &watched{conn, p}, nil
}

type watched struct {
	net.Conn
	p *pod
}

var methodNames = map[uint32]string{
	10<<16 | 50: "connection.close", 20<<16 | 40: "channel.close",
	60<<16 | 20: "basic.consume", 60<<16 | 30: "basic.cancel", 60<<16 | 90: "basic.reject", 60<<16 | 120: "basic.nack",
}

func (w *watched) Write(b []byte) (int, error) {
	for frames := b; len(frames) >= 11; { // type, channel, size, class, method
		size := 8 + int(binary.BigEndian.Uint32(frames[3:7]))
		if name := methodNames[binary.BigEndian.Uint32(frames[7:11])]; frames[0] == 1 && name != "" {
			ready := w.p.readyz()
			w.p.mu.Lock()
			w.p.sent = append(w.p.sent, sent{name, ready})
			w.p.mu.Unlock()
		}
		frames = frames[min(size, len(frames)):]
	}
	return w.Conn.Write(b)
}

// sends tells what was sent of some methods, and whether it was ready then.
func (p *pod) sends(methods string) (list []sent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sent {
		if strings.Contains(" "+methods+" ", " "+s.method+" ") {
			list = append(list, s)
		}
	}
	return list
}

// Readiness rises when the broker has confirmed every consumer, and not before.
func TestReadyAfterEveryConsumeOK(t *testing.T) {
	inPod(t, func(p *pod) {
		p.expect(200, 503, 0, 0)
		p.server.SuspendQueue("audit") // it does not answer
		p.run()
		p.expect(200, 503, 10*time.Minute, time.Second)
		p.server.ResumeQueue("audit")
		time.Sleep(2 * time.Minute)
		p.expect(200, 200, 10*time.Minute, time.Minute)
		for _, queue := range queuesOfPod {
			if q, _ := p.server.Queue(queue); q.Consumers != 1 {
				t.Errorf("%+v", q)
			}
		}
		consumes := p.sends("basic.consume")
		for i, s := range consumes {
			if s.ready != http.StatusServiceUnavailable {
				t.Errorf("it was ready before consumer %d of %d was asked for", i+1, len(consumes))
			}
		}
		if len(consumes) < len(queuesOfPod) {
			t.Errorf("%v", consumes)
		}
	})
}

// Readiness falls before anything is given back, and while handlers finish the pod is alive.
func TestNotReadyBeforeTheFirstRefusal(t *testing.T) {
	inPod(t, func(p *pod) {
		p.handle = func(context.Context, *consumer.Delivery) error { time.Sleep(10 * time.Second); return nil }
		for _, queue := range queuesOfPod {
			if err := p.server.Publish(queue, "1", "2", "3"); err != nil {
				t.Fatal(err)
			}
		}
		p.run()
		time.Sleep(5 * time.Second)
		p.expect(200, 200, 0, 0)
		p.stop()
		p.expect(200, 503, 4*time.Second, 100*time.Millisecond)
		if err := <-p.ended; err != nil {
			t.Error(err)
		}
		p.expect(200, 503, time.Minute, time.Second)
		refusals := p.sends("basic.cancel basic.nack basic.reject channel.close connection.close")
		for _, s := range refusals {
			if s.ready != http.StatusServiceUnavailable {
				t.Errorf("it was ready when %s was sent", s.method)
			}
		}
		if fmt.Sprint(refusals) == "[]" {
			t.Error("nothing was given back")
		}
	})
}

// An outage of hours is no reason for a restart, and the pod is ready when it is over.
func TestLiveThroughAnOutage(t *testing.T) {
	inPod(t, func(p *pod) {
		p.run()
		time.Sleep(time.Minute)
		p.expect(200, 200, time.Minute, time.Second)
		p.server.StopApp()
		time.Sleep(time.Second)
		p.expect(200, 503, 8*time.Hour, 30*time.Second)
		if err := p.server.StartApp(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		p.expect(200, 200, 10*time.Minute, time.Minute)
	})
}

// A supervisor that hangs is one: its journal hangs when the connection is lost. Probes are answered all the same.
func TestNotLiveWhileTheSupervisorHangs(t *testing.T) {
	inPod(t, func(p *pod) {
		p.run()
		time.Sleep(time.Minute)
		<-p.journal.open
		p.server.StopApp()
		begin := time.Now()
		for p.livez() == http.StatusOK {
			time.Sleep(time.Second)
			synctest.Wait()
			if time.Since(begin) > 2*consumer.StuckAfter {
				t.Fatal("it is alive still")
			}
		}
		if took := time.Since(begin); took < consumer.StuckAfter-5*time.Second {
			t.Errorf("after %v", took)
		}
		if text := get(p.probes, "/livez").Body.String(); !strings.Contains(text, "[-]stuck failed: ") {
			t.Error(text)
		}
		p.expect(503, p.readyz(), 2*time.Minute, time.Second)
		p.journal.open <- struct{}{}
		time.Sleep(time.Minute)
		p.expect(200, 503, time.Minute, time.Second)
	})
}
