package consumer_test

import (
	"context"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// pair is one consumer of two queues, to both of which messages come all the time: one that is broken, and a healthy one.
type pair struct {
	*testing.T
	config          consumer.Config
	c               *consumer.Consumer
	journal         *book
	broken, healthy *flow
	feeding         sync.WaitGroup
}

// newPair declares the queues through the nodes of the URLs: brokenKind through the first, a classic one through the
// last. What is published to them goes through the last, as long as that is there.
func newPair(t *testing.T, brokenKind string, urls ...string) *pair {
	t.Helper()
	p := &pair{T: t, journal: &book{}}
	name := path.Base(t.Name())
	last := urls[len(urls)-1]
	others := slices.Clone(urls)
	slices.Reverse(others)
	p.broken, p.healthy = newFlow(name+".broken", others...), newFlow(name+".healthy", others...)
	p.declare(urls[0], p.broken.queue, brokenKind)
	p.declare(last, p.healthy.queue, "classic")
	log := &lines{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%v\n%v\nthe log:\n%s", p.broken, p.healthy, log)
		}
	})
	p.config = consumer.Config{
		URLs: urls, Name: name, Journal: p.journal, Logger: zerolog.New(log).Level(zerolog.InfoLevel).With().Timestamp().Logger(),
		CallTimeout: 2 * time.Second,
		Subscriptions: []consumer.Subscription{
			{Queue: p.broken.queue, Handler: p.broken.handle},
			{Queue: p.healthy.queue, Handler: p.healthy.handle},
		},
	}
	return p
}

func (p *pair) declare(url, queue, kind string) {
	p.Helper()
	endpoints, err := broker.ParseEndpoints(url)
	p.must(err)
	publisher, err := broker.OpenPublisher(p.Context(), broker.Plan{Endpoints: endpoints})
	p.must(err)
	defer publisher.Close(context.Background())
	p.must(publisher.DeclareQueue(p.Context(), queue, broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": kind}}))
}

// play has messages flow, calls the fault, and then awaits that all is as if nothing had been.
func (p *pair) play(fault func()) {
	p.Helper()
	var err error
	p.c, err = consumer.New(p.config)
	p.must(err)
	ended := make(chan error, 1)
	go func() { ended <- p.c.Run(context.Background()) }()
	defer func() {
		if err := p.c.Stop(context.Background()); err != nil {
			p.Errorf("Stop: %v", err)
		}
		if err := <-ended; err != nil {
			p.Errorf("Run: %v", err)
		}
	}()
	feeding, cancel := context.WithCancel(context.Background())
	defer cancel()
	flows := []*flow{p.broken, p.healthy}
	for _, f := range flows {
		p.feeding.Go(func() { _ = f.run(feeding) })
	}
	p.flows(flows...)
	for _, f := range flows {
		f.longest()
	}
	fault()
	p.flows(flows...)
	cancel()
	p.feeding.Wait()
	for _, f := range flows {
		rabbittest.Eventually(p, patience, "nothing is missing of "+f.queue, func() bool { return len(f.missing()) == 0 })
		p.Log(f)
	}
}

// flows awaits that messages are handled which were not there yet.
func (p *pair) flows(of ...*flow) {
	p.Helper()
	for _, f := range of {
		before := f.handled()
		rabbittest.Eventually(p, 2*patience, "messages of "+f.queue+" are handled", func() bool { return f.handled() > before+50 })
	}
}

// gaps prints the longest gaps, and checks that of the healthy queue.
func (p *pair) gaps(what string, limit time.Duration) {
	p.Helper()
	healthy := p.healthy.longest()
	p.Logf("%s: longest gap of the healthy queue %v, of the other %v", what, healthy.Round(time.Millisecond), p.broken.longest().Round(time.Millisecond))
	if healthy > limit {
		p.Errorf("%s: nothing of the healthy queue was handled for %v", what, healthy)
	}
}

// awaitApart waits until the broken queue is consumed, or tried to be, on a connection of its own.
func (p *pair) awaitApart() {
	p.Helper()
	rabbittest.Eventually(p, patience, p.broken.queue+" is apart", func() bool {
		for _, e := range p.journal.Events() {
			if e.Name == consumer.NoteApart && consumer.EvidenceOf(e).Queue == p.broken.queue {
				return true
			}
		}
		return false
	})
}

func (p *pair) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// calm is how long a gap may take that nothing but a busy machine is the reason for.
const calm = 3 * time.Second

// A queue whose process does not answer is set apart, and the one beside it does not notice. Then it is handled.
func TestQueueSuspended(t *testing.T) {
	rabbittest.NeedsControl(t)
	t.Parallel()
	for _, kind := range []string{"classic", "quorum"} {
		t.Run("suspended "+kind, func(t *testing.T) {
			t.Parallel()
			node := rabbittest.Shared(t)
			p := newPair(t, kind, node.URL())
			p.play(func() {
				p.must(node.SuspendQueue(t.Context(), p.broken.queue))
				p.must(p.c.Subscription(p.broken.queue).SetPrefetch(32))
				p.awaitApart()
				p.flows(p.healthy)
				p.gaps("suspended", calm)
				p.must(node.ResumeQueue(t.Context(), p.broken.queue))
				p.flows(p.broken)
				p.gaps("resumed", calm)
			})
		})
	}
}

// TestCluster breaks the nodes of a cluster under a consumer of a quorum queue and of a classic one. It takes minutes:
// make clusters.
func TestCluster(t *testing.T) {
	if os.Getenv("EVERHOP_TEST_CLUSTERS") == "" {
		t.Skip("takes minutes: make clusters")
	}
	rabbittest.NeedsControl(t)
	cluster, err := rabbittest.StartCluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	a, b, c := cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2]
	urls := []string{a.URL(), b.URL(), c.URL()}
	// The consumer begins on the first node, which leads the quorum queue; the last one has the classic queue.
	for _, play := range []struct {
		name  string
		urls  []string
		fault func(*pair)
	}{
		{"killed", urls, func(p *pair) {
			p.must(a.Kill())
			p.flows(p.broken, p.healthy)
			p.gaps("a node is gone", patience)
			p.must(a.Restart(p.Context()))
			p.gaps("it is back", patience)
		}},
		{"frozen", urls, func(p *pair) {
			p.must(a.Freeze())
			p.flows(p.healthy)
			p.gaps("a node is frozen", patience)
			p.must(a.Thaw())
			p.flows(p.broken)
			p.gaps("it goes on", patience)
		}},
		{"no majority", []string{c.URL()}, func(p *pair) {
			p.must(a.Kill())
			p.must(b.Kill())
			p.flows(p.healthy)
			p.must(p.c.Subscription(p.broken.queue).SetPrefetch(32))
			p.awaitApart()
			p.flows(p.healthy)
			p.gaps("two nodes are gone", 4*calm)
			var starting sync.WaitGroup
			for _, node := range []*rabbittest.Node{a, b} {
				starting.Go(func() {
					if err := node.Restart(p.Context()); err != nil {
						p.Error(err)
					}
				})
			}
			starting.Wait()
			p.flows(p.broken)
			p.gaps("they are back", 4*calm)
		}},
		{"rolling restart", urls, func(p *pair) {
			for i, node := range cluster.Nodes {
				p.must(node.Drain(p.Context()))
				p.must(node.Restart(p.Context()))
				p.flows(p.broken, p.healthy)
				p.gaps("node "+string("abc"[i])+" was restarted", patience)
			}
		}},
		{"partitioned", urls, func(p *pair) {
			for _, node := range cluster.Nodes {
				p.must(node.PauseMinority(p.Context()))
			}
			p.must(cluster.Isolate(p.Context(), a))
			for range 10 {
				p.flows(p.healthy)
			}
			// RabbitMQ 4.3 pauses no node: what is connected to one that is cut off gets nothing from a quorum queue.
			if !isRunning(p, a) {
				p.flows(p.broken)
			}
			p.gaps("a node is cut off", patience)
			p.must(cluster.Rejoin(p.Context(), a))
			rabbittest.Eventually(p, 2*patience, "the node serves again", func() bool { return isRunning(p, a) })
			p.flows(p.broken)
			p.gaps("it is back", patience)
		}},
	} {
		t.Run(play.name, func(t *testing.T) {
			p := newPair(t, "quorum", play.urls...)
			p.play(func() { play.fault(p) })
			names := []string{}
			for _, e := range p.journal.Events() {
				if e.Name != "" && !slices.Contains(names, e.Name) {
					names = append(names, e.Name)
				}
			}
			t.Logf("notes: %s", strings.Join(names, ", "))
		})
	}
}

func isRunning(p *pair, node *rabbittest.Node) bool {
	answer, err := node.Eval(p.Context(), "rabbit:is_running().")
	return err == nil && answer == "true"
}
