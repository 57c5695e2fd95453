package consumer_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// patience is how long a test waits for what must come; nothing is asserted about being faster.
const patience = time.Minute

// rig is a consumer behind a fault proxy in front of a RabbitMQ node, with one queue.
type rig struct {
	*testing.T
	node    *rabbittest.Node
	proxy   *rabbittest.Proxy
	queue   string
	config  consumer.Config
	c       *consumer.Consumer
	journal *book
	log     *lines
	result  chan error
	running bool

	mu        sync.Mutex
	published int
	handled   map[string]int // bodies, and how often
}

// newRig prepares everything; the queue exists unless a test deletes it. Tests change config and
// handler before start.
func newRig(t *testing.T) *rig {
	node := rabbittest.Shared(t)
	proxy, err := rabbittest.NewProxy(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		T: t, node: node, proxy: proxy,
		queue:   "scenario." + filepath.Base(t.Name()),
		journal: &book{},
		log:     &lines{},
		result:  make(chan error, 1),
		handled: map[string]int{},
	}
	r.config = consumer.Config{
		URLs:    []string{proxy.URL(node.URL())},
		Name:    "scenario",
		Journal: r.journal,
		Logger:  zerolog.New(r.log).Level(zerolog.DebugLevel),
		Subscriptions: []consumer.Subscription{{
			Queue:        r.queue,
			Handler:      r.handle,
			RequeuePause: 10 * time.Millisecond,
		}},
	}
	r.declare(r.queue)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", r.log)
		}
		if r.running {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = r.c.Stop(ctx)
		}
		r.record()
		proxy.Close()
		r.deleteQueue(r.queue)
	})
	return r
}

func (r *rig) handle(_ context.Context, d *consumer.Delivery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handled[string(d.Body)]++
	return nil
}

func (r *rig) start() {
	r.Helper()
	c, err := consumer.New(r.config)
	if err != nil {
		r.Fatal(err)
	}
	r.c, r.running = c, true
	go func() { r.result <- c.Run(context.Background()) }()
}

// awaitState waits until the consumer is in the state.
func (r *rig) awaitState(s fsm.State) {
	r.Helper()
	r.await("the state "+string(s), func() bool { return r.c.State() == s })
}

// awaitEvent waits until the journal holds a transition with the trigger after the first n events, and
// returns how many it holds then.
func (r *rig) awaitEvent(n int, trigger fsm.Trigger) int {
	r.Helper()
	r.await("the trigger "+string(trigger), func() bool {
		events := r.journal.Events()
		return slices.ContainsFunc(events[min(n, len(events)):], func(e fsm.Event) bool {
			return e.Kind == fsm.KindTransition && e.Trigger == trigger
		})
	})
	return len(r.journal.Events())
}

func (r *rig) events() int { return len(r.journal.Events()) }

func (r *rig) await(what string, condition func() bool) {
	r.Helper()
	rabbittest.Eventually(r, patience, what, condition)
}

// publish sends messages past the proxy; they must all be handled in the end.
func (r *rig) publish(n int) {
	r.Helper()
	r.withPublisher(func(p *broker.Publisher) {
		for range n {
			r.mu.Lock()
			r.published++
			body := fmt.Sprintf("message %d", r.published)
			r.mu.Unlock()
			confirm, err := p.Publish(r.Context(), broker.Message{RoutingKey: r.queue, Body: []byte(body)})
			if err == nil {
				err = confirm.Wait(r.Context())
			}
			if err != nil {
				r.Fatal(err)
			}
		}
	})
}

func (r *rig) withPublisher(f func(*broker.Publisher)) {
	r.Helper()
	p, err := broker.OpenPublisher(r.Context(), broker.Plan{Endpoints: r.direct()})
	if err != nil {
		r.Fatal(err)
	}
	defer p.Close(context.Background())
	f(p)
}

func (r *rig) direct() []broker.Endpoint {
	endpoints, err := broker.ParseEndpoints(r.node.URL())
	if err != nil {
		r.Fatal(err)
	}
	return endpoints
}

// awaitHandled waits until every published message was handled.
func (r *rig) awaitHandled() {
	r.Helper()
	r.await("every message to be handled", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.handled) == r.published
	})
}

// flows checks that the consumer is really there: messages sent now are handled, and the broker
// counts one consumer.
func (r *rig) flows() {
	r.Helper()
	r.publish(3)
	r.awaitHandled()
	r.awaitState(consumer.Consuming)
	r.await("the broker to count one consumer", func() bool { return r.consumers() == 1 }) // and no lost one any more
}

// stop is a soft stop, and checks that nothing is left at the broker.
func (r *rig) stop() {
	r.Helper()
	if err := r.c.Stop(r.Context()); err != nil {
		r.Errorf("Stop: %v", err)
	}
	if err := r.end(); err != nil {
		r.Errorf("Run: %v", err)
	}
}

// end waits for Run and returns its error.
func (r *rig) end() error {
	r.Helper()
	select {
	case err := <-r.result:
		r.running = false
		if r.c.State() != consumer.Disconnected {
			r.Errorf("Run has returned in state %s", r.c.State())
		}
		return err
	case <-time.After(patience):
		r.Fatalf("Run has not returned; state %s", r.c.State())
		return nil
	}
}

// lines is a log, safe for concurrent use.
type lines struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

// transitions are the logged ones in order; a HeartbeatCheck that ends well is left out.
func (l *lines) transitions(t testing.TB) []map[string]any {
	var all []map[string]any
	scanner := bufio.NewScanner(strings.NewReader(l.String()))
	for scanner.Scan() {
		line := map[string]any{}
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatalf("log line %q: %v", scanner.Text(), err)
		}
		if line[fsm.FieldKind] != string(fsm.KindTransition) {
			continue
		}
		if n := len(all); n > 0 && line[fsm.FieldTrigger] == string(consumer.HeartbeatOK) {
			all = all[:n-1]
			continue
		}
		all = append(all, line)
	}
	return all
}
