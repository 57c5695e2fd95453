package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

const stageQueue = "work"

// stage is a consumer and its broker in one bubble of synthetic time.
type stage struct {
	*testing.T
	server  *brokertest.Server
	c       *consumer.Consumer
	journal *book
	ended   chan struct{}
	err     error     // of Run, once ended is closed
	stopped time.Time // Stop was called
	over    time.Time // Run returned
	since   int       // events before the fault

	mu        sync.Mutex
	published int
	handled   map[string]time.Time // bodies, and when a handler returned nil for the first time
	failed    bool                 // a handler has returned an error
	lost      bool                 // a fault took messages away with their queue
	neighbour *neighbour           // nil if there is none
}

// shape is how a stage's subscription is consumed.
type shape struct {
	name                  string
	concurrency, prefetch int
	beside                bool // another subscription, whose messages must flow
}

var shapes = []shape{
	{"one handler", 1, 4, false},
	{"beside a neighbour", 1, 4, true},
	{"four handlers", 4, 64, false}, // whose acknowledgements share frames
}

func newStage(t *testing.T, as shape, of matrixBroker, f matrixFault) *stage {
	arguments := map[string]any{"x-queue-type": of.queueType}
	if f.name == "fatal-message" && of.queueType == "quorum" {
		arguments["x-delivery-limit"] = 100 // by chance it comes back more often than RabbitMQ's 20, though rarely
	}
	s := &stage{
		T: t, server: brokertest.NewInMemoryServer(t, brokertest.Version(of.version)), journal: &book{},
		ended: make(chan struct{}), handled: map[string]time.Time{},
	}
	config := consumer.Config{
		URLs:    []string{s.server.URL()},
		Dial:    s.server.Dial,
		Name:    "stage",
		Journal: s.journal,
		Subscriptions: []consumer.Subscription{{
			Queue:       stageQueue,
			Declare:     &broker.QueueOptions{Durable: true, Arguments: arguments},
			Exchanges:   []broker.Exchange{{Name: "events", Kind: "topic", Durable: true}},
			Bindings:    []broker.Binding{{Exchange: "events", RoutingKey: "work.#"}},
			Handler:     s.handle,
			Concurrency: as.concurrency,
			Prefetch:    as.prefetch,
		}},
	}
	if f.dead {
		config.URLs, config.Dial = s.among()
	}
	if as.beside {
		s.neighbour = newNeighbour(s)
		config.Subscriptions = append(config.Subscriptions, s.neighbour.subscription())
	}
	c, err := consumer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	s.c = c
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = c.Stop(over)
	})
	if err := s.server.DeclareQueue(stageQueue, arguments); err != nil {
		t.Fatal(err)
	}
	if s.neighbour != nil {
		s.neighbour.feed(arguments)
	}
	s.publish()
	return s
}

// among are the endpoints of a broker that is the last of three: the first is dead, the second does not answer. With a
// dial function of one's own, names are not resolved: these stand for the addresses of one.
func (s *stage) among() (urls []string, dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	const dead, silent = "dead:5672", "silent:5672"
	return []string{"amqp://" + dead, "amqp://" + silent, s.server.URL()}, func(ctx context.Context, network, address string) (net.Conn, error) {
		switch address {
		case dead:
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		case silent:
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return s.server.Dial(ctx, network, address)
	}
}

// handle takes a moment, so that a fault finds deliveries in flight, and for some longer than the broker
// may be silent. The first time it is given the third message it fails.
func (s *stage) handle(ctx context.Context, d *consumer.Delivery) error {
	work := 20 * time.Millisecond
	if strings.HasPrefix(string(d.Body), long) {
		work = 5 * time.Second
	}
	select {
	case <-time.After(work):
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(d.Body) == "message 3" && !s.failed {
		s.failed = true
		return errors.New("not yet")
	}
	s.note(d)
	return nil
}

// note takes down that a message was handled.
func (s *stage) note(d *consumer.Delivery) {
	body := string(d.Body[:min(len(d.Body), 256)]) // as much as the broker says of it
	if _, again := s.handled[body]; !again {
		s.handled[body] = time.Now()
	}
}

const (
	// long begins the bodies of messages that take their handler long.
	long = "long"
	// fatal is the message that its connection dies of.
	fatal = "fatal"
	// largeBody is how many bytes one has that takes some seconds on a narrow line.
	largeBody = 3 << 20
)

// publish adds ten messages.
func (s *stage) publish() {
	for range 10 {
		s.send("message")
	}
}

// publishLong adds one that keeps its handler busy beyond a silence, and waits until the handler has it.
func (s *stage) publishLong() {
	s.send(long)
	s.sleep(time.Second)
}

// publishLarge adds one that takes long to come.
func (s *stage) publishLarge() {
	s.send(strings.Repeat("large ", largeBody/len("large ")))
}

// publishFatal adds the one that ends connections.
func (s *stage) publishFatal() { s.add(fatal) }

func (s *stage) send(kind string) {
	s.add(fmt.Sprintf("%s %d", kind, s.published+1))
}

func (s *stage) add(body string) {
	s.published++
	if err := s.server.Publish(stageQueue, body); err != nil {
		s.lost = true
	}
}

func (s *stage) start() {
	s.neighbour.watch()
	go func() {
		s.err = s.c.Run(context.Background())
		s.over = time.Now()
		s.neighbour.leave()
		close(s.ended)
	}()
}

func (s *stage) stop() {
	s.stopped = time.Now()
	s.neighbour.leave()
	go func() { _ = s.c.Stop(context.Background()) }()
}

func (s *stage) sleep(d time.Duration) { <-time.After(d) }

func (s *stage) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// settled waits until the consumer is in the state and has nothing left to do, or Run has returned.
func (s *stage) settled(want fsm.State) {
	s.Helper()
	for range 6000 {
		q, _ := s.server.Queue(stageQueue)
		if s.hasEnded() || s.c.State() == want && q.Consumers == 1 && q.Ready+q.Unacknowledged == 0 {
			return
		}
		s.sleep(100 * time.Millisecond)
	}
	s.Fatalf("after 10 minutes the consumer is %s, and the broker says %+v", s.c.State(), s.server.Queues())
}

// play brings the consumer to the place, plays the fault there and returns what came of it, in the
// form of the matrix.
func (s *stage) play(f matrixFault, p matrixPlace) string {
	if p.reach != nil {
		p.reach(s)
	}
	s.since = len(s.journal.Events())
	faults := f.faults
	if f.arm != nil {
		f.arm(s.server)
		if !s.consumes(p) {
			faults = list(brokertest.Fault{})
		}
	}
	var played <-chan struct{}
	for _, fault := range faults {
		played = s.server.Inject(p.when, fault).Played
	}
	s.lost = s.lost || f.name == "queue-deleted"
	if p.then != nil {
		p.then(s)
	}
	s.until("the moment of the fault", played)
	struck := time.Now()
	if f.then != nil {
		f.then(s)
	}
	s.sleep(f.lasts)
	if f.heal != nil {
		f.heal(s.server)
	}
	stopping := strings.HasPrefix(p.name, "stopping")
	healed := time.Now()
	if stopping {
		s.until("the end of Run", s.ended)
	} else {
		s.settled(consumer.Consuming)
	}
	s.inTime(f, time.Since(healed))
	if !s.hasEnded() {
		s.publish() // is it really there?
		s.settled(consumer.Consuming)
	}
	s.neighbour.check(f, p)
	happened := s.outcome(f)
	if strings.HasPrefix(happened, "ChannelError") && !strings.Contains(happened, "Failed") && !strings.Contains(happened, "ConnectionError") && !strings.Contains(happened, setApart) && !s.lostToo() {
		s.sameConnection()
	}
	if f.class != "" && s.consumes(p) && !stopping {
		s.said(f.class)
	}
	if f.silent > 0 && !stopping {
		s.noticed(struck, f)
	}
	if !s.hasEnded() {
		if err := s.c.Stop(context.Background()); err != nil {
			s.Errorf("Stop: %v", err)
		}
		<-s.ended
		if s.err != nil {
			s.Errorf("Run: %v", s.err)
		}
	}
	s.account()
	return happened
}

// consumes tells whether there is a consumer at the place.
func (s *stage) consumes(p matrixPlace) bool {
	state, _, _ := strings.Cut(p.name, "/")
	return state == "consuming" || state == "check" || state == "stopping"
}

func (s *stage) until(what string, done <-chan struct{}) {
	s.Helper()
	select {
	case <-done:
	case <-time.After(10 * time.Minute):
		s.Fatalf("after 10 minutes, still waiting for %s", what)
	}
}
