package prom

import (
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// DefaultQueues is the default of Config.Queues.
const DefaultQueues = 250

// Config has a useful zero value.
type Config struct {
	// Queues is how many queues of a consumer are told apart, in the order of its subscriptions. All others are summed
	// up as (other). Defaults to 250. A queue has about 30 series, 20 of them for the classic histogram.
	Queues int
}

// Collector is a [prometheus.Collector] of consumers and publishers. All methods may be called from any goroutine.
type Collector struct {
	queues int

	mu         sync.Mutex
	consumers  []*watched
	publishers []publisherSource
	events     map[string]*events // of consumers, by their names
	published  map[string]*events // of publishers
}

// New returns a Collector that shows nothing yet; see Add.
func New(config Config) *Collector {
	if config.Queues <= 0 {
		config.Queues = DefaultQueues
	}
	return &Collector{queues: config.Queues, events: make(map[string]*events), published: make(map[string]*events)}
}

// Observe is to be among the Observers of each consumer that is added. Without it nothing is shown that Status does not
// have: transitions, outages and notes.
func (c *Collector) Observe(e fsm.Event) { c.of(c.events, e.Machine, consumer.Lifecycle()).apply(e) }

// ObservePublisher is to be among the Observers of each publisher that is added.
func (c *Collector) ObservePublisher(e fsm.Event) {
	c.of(c.published, e.Machine, publish.Lifecycle()).apply(e)
}

func (c *Collector) of(machines map[string]*events, name string, table *fsm.Table) *events {
	name = valid(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	events := machines[name]
	if events == nil {
		events = newEvents(table)
		machines[name] = events
	}
	return events
}

// Add shows a consumer from now on. It is an error if another one has the same Name: their metrics would be the same.
func (c *Collector) Add(consumer *consumer.Consumer) error { return c.add(consumerSource{consumer}) }

func (c *Collector) add(from source) error {
	name := valid(from.Status().Name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.consumers, func(w *watched) bool { return w.name == name }) {
		return fmt.Errorf("prom: there is another consumer with the Name %q: each needs one of its own", name)
	}
	c.consumers = append(c.consumers, watch(from, name, c.queues))
	return nil
}

// AddPublisher shows a publisher from now on. It is an error if another one has the same Name. A consumer's own publisher is
// shown with it, once it is used.
func (c *Collector) AddPublisher(publisher *publish.Publisher) error {
	return c.addPublisher(publisher)
}

func (c *Collector) addPublisher(from publisherSource) error {
	name := valid(from.Status().Name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.publishers, func(p publisherSource) bool { return valid(p.Status().Name) == name }) {
		return fmt.Errorf("prom: there is another publisher with the Name %q: each needs one of its own", name)
	}
	c.publishers = append(c.publishers, from)
	return nil
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range all {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	c.collect(&sink{put: func(m prometheus.Metric) { to <- m }})
}

func (c *Collector) collect(out *sink) {
	c.mu.Lock()
	consumers, publishers := slices.Clone(c.consumers), slices.Clone(c.publishers)
	c.mu.Unlock()
	out.buildInfo()
	var publishing []publish.Status
	for _, w := range consumers {
		w.collect(out)
		c.of(c.events, w.name, consumer.Lifecycle()).collect(out, w.name)
		if own, used := w.from.PublisherStatus(); used {
			publishing = append(publishing, own)
		}
	}
	for _, p := range publishers {
		publishing = append(publishing, p.Status())
	}
	shown := make(map[string]bool)
	for _, s := range publishing {
		if name := valid(s.Name); !shown[name] { // somebody may have added a consumer's own
			shown[name] = true
			showPublisher(out, s)
			c.of(c.published, name, publish.Lifecycle()).collectPublisher(out, name)
		}
	}
}
