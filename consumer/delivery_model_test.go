package consumer

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/everhop/everhop/broker"
)

// modelBroker is a RabbitMQ with one queue, reduced to what settling is about and as strict as the
// real one. It remembers everything, and what was done wrong.
//
// Nothing here takes real time. Reject and Nack take some in the bubble. Ack and AckUpTo only let others
// go first, because their caller holds a lock: a bubble's clock stands while anyone waits for one.
type modelBroker struct {
	mu           sync.Mutex
	began        time.Time
	bodies       []*modelBody    // as published
	messages     []*modelMessage // as they came into the queue
	delayed      int             // messages that are in a delay queue
	republishing int             // calls of the outbox that are under way
	channels     []*modelChannel
	places       int             // messages that are to be published
	writes       []time.Duration // how long it takes to write, in turn
	written      int
	yields       int // how often an acknowledgement lets others go first
	moment       int // counts what happens, to tell what came first
	log          []entry
	wrong        []string
	// allowed tells what is wrong with settling a delivery in such a way, as RabbitMQ would not.
	allowed func(*modelDelivery, settlement) string
}

// settlement is what is told the broker about a delivery.
type settlement string

const (
	acked    settlement = "ack"
	ackedTo  settlement = "ack up to"
	nacked   settlement = "nack"
	repelled settlement = "reject into the queue"
	killed   settlement = "reject"
)

type entry struct {
	at   time.Duration
	what string
	args []any
}

// modelBody is what one message carries, however often it is published again.
type modelBody struct {
	name    string // unique
	id, key string

	calls []modelCall // what the handler is to do, one after another; then it succeeds
	begun int         // how many calls were
	done  int         // how many returned nil
	doneA int         // the moment of the last that did

	copies int // that ever were in the queue
	there  int // of these: in the queue, outstanding, or to come back after their delay
	parked int // copies
	killed int // copies that were dead-lettered
	taken  int // copies that were taken for others, whose id they share
}

// lost: it is nowhere, and nobody has handled it.
func (b *modelBody) lost() bool { return b.there+b.ends() == 0 }

func (b *modelBody) ends() int { return b.done + b.parked + b.killed + b.taken }

// modelMessage is in the queue, outstanding on a channel, or gone.
type modelMessage struct {
	*modelBody
	attempts    int // as its header says
	redelivered bool
	holder      *modelDelivery // nil: it is in the queue, or gone
	gone        settlement     // acked or killed; else it is not gone
}

type modelCall struct {
	took    time.Duration
	outcome modelOutcome
	obeys   bool // it returns as soon as its context ends
}

type modelOutcome string

// modelDelivery is one delivery of a message.
type modelDelivery struct {
	*modelMessage
	channel     *modelChannel
	tag         uint64
	again       bool       // flagged as redelivered
	outstanding bool       // the broker waits for it
	told        settlement // the client has sent its outcome, or believes so
	stale       int        // how often the client said that its outcome was dropped
	copied      verdict    // parked or delayed: the outbox has confirmed that
	never       bool       // the outbox has said that it cannot be delayed
	tripped     bool       // its last failure was one too many for the breaker, or
	opened      time.Time  // the breaker was open before that; zero: nobody knows

	calls   int
	running bool
	last    modelOutcome // of the last call
	ended   time.Time    // the last call
	endedA  int          // its moment
}

func (d *modelDelivery) String() string {
	return fmt.Sprintf("%s (channel %d, tag %d)", d.name, d.channel.generation, d.tag)
}

// note is called with mu held.
func (b *modelBroker) note(what string, args ...any) {
	b.moment++
	b.log = append(b.log, entry{time.Since(b.began), what, args})
}

// fault is called with mu held.
func (b *modelBroker) fault(what string, args ...any) {
	b.note("WRONG: "+what, args...)
	b.wrong = append(b.wrong, fmt.Sprintf("after %v: "+what, append([]any{time.Since(b.began)}, args...)...))
}

// story is what happened, for people.
func (b *modelBroker) story() string {
	var s strings.Builder
	for _, e := range b.log {
		fmt.Fprintf(&s, "%9v "+e.what+"\n", append([]any{e.at}, e.args...)...)
	}
	return s.String()
}

func (b *modelBroker) publish(m *modelBody) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.note("published %s, key %q, id %q", m.name, m.key, m.id)
	b.bodies = append(b.bodies, m)
	m.there++
	b.enqueue(m, 0)
}

// enqueue appends a message to the queue. It is called with mu held.
func (b *modelBroker) enqueue(m *modelBody, attempts int) {
	m.copies++
	b.messages = append(b.messages, &modelMessage{modelBody: m, attempts: attempts})
	b.deliver()
}

// delay is what a delay queue does. It is called with mu held.
func (b *modelBroker) delay(m *modelBody, after time.Duration, attempts int) {
	m.there++
	b.delayed++
	time.AfterFunc(after, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.note("%s comes back after its delay", m.name)
		b.delayed--
		b.enqueue(m, attempts)
	})
}

// deliver hands out what it can. It is called with mu held.
func (b *modelBroker) deliver() {
	for _, c := range b.channels {
		for _, m := range b.messages { // in their places, whoever had them before
			if !c.subscribed || c.cut || len(c.counted) >= c.prefetch {
				break
			}
			if m.holder == nil && m.gone == "" {
				c.push(m)
			}
		}
	}
}

// settled tells whether nothing is left to be delivered or settled.
func (b *modelBroker) settled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.bodies) == b.places && b.republishing+b.delayed == 0 && !slices.ContainsFunc(b.messages, func(m *modelMessage) bool { return m.gone == "" })
}

// modelChannel is a channel with one consumer at a time.
type modelChannel struct {
	*modelBroker
	generation uint64
	prefetch   int
	subscribed bool
	cut        bool // what is sent does not arrive any more
	closed     bool // and the client knows
	ended      bool // nothing more comes: Lost is closed
	lost       chan struct{}
	news       chan struct{} // closed when there is something new for Receive
	deliveries []*modelDelivery
	received   int                     // of these
	counted    map[*modelDelivery]bool // outstanding since the last basic.consume
	endedAt    time.Time               // when it was cut or closed
	lostAt     time.Time               // when Lost was closed
}

func (b *modelBroker) open(prefetch int, subscribed bool) *modelChannel {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &modelChannel{
		modelBroker: b, generation: uint64(len(b.channels) + 1), lost: make(chan struct{}), news: make(chan struct{}),
	}
	b.channels = append(b.channels, c)
	b.note("channel %d is open", c.generation)
	if subscribed {
		c.subscribe(prefetch)
	}
	return c
}

// subscribe is called with mu held.
func (c *modelChannel) subscribe(prefetch int) {
	c.note("channel %d consumes, prefetch %d", c.generation, prefetch)
	c.prefetch, c.counted, c.subscribed = prefetch, map[*modelDelivery]bool{}, true
	c.deliver()
	c.tell()
}

func (c *modelChannel) push(m *modelMessage) {
	d := &modelDelivery{
		modelMessage: m, channel: c, tag: uint64(len(c.deliveries) + 1), again: m.redelivered, outstanding: true,
	}
	c.deliveries = append(c.deliveries, d)
	c.counted[d] = true
	m.holder, m.redelivered = d, true
	c.note("delivered %v", d)
	c.tell()
}

// tell wakes Receive. It is called with mu held.
func (c *modelChannel) tell() {
	close(c.news)
	c.news = make(chan struct{})
}

func (c *modelChannel) resume(prefetch int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.subscribe(prefetch)
	}
}

// cancel is basic.cancel.
func (c *modelChannel) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note("channel %d is cancelled by the client", c.generation)
	c.subscribed = false
	c.tell()
}

// cancelled is the broker's own basic.cancel: what is outstanding may still be settled.
func (c *modelChannel) cancelled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note("channel %d is cancelled by the broker", c.generation)
	c.end()
}

// end is called with mu held.
func (c *modelChannel) end() {
	c.subscribed = false
	if !c.ended {
		c.ended, c.lostAt = true, time.Now()
		close(c.lost)
	}
}

// sever lets everything that is sent vanish, and nobody notices.
func (c *modelChannel) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note("channel %d is cut", c.generation)
	c.cut, c.endedAt = true, time.Now()
}

// close is how the client learns that the channel is gone, or closes it.
func (c *modelChannel) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.note("channel %d is closed", c.generation)
	if !c.cut {
		c.endedAt = time.Now()
	}
	c.closed = true
	c.end()
}

// requeue is how the broker learns it.
func (c *modelChannel) requeue() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note("channel %d's deliveries go back", c.generation)
	for _, d := range c.deliveries {
		if d.outstanding {
			c.putBack(d)
		}
	}
	c.deliver()
}

func (c *modelChannel) putBack(d *modelDelivery) {
	d.outstanding, d.holder = false, nil
	delete(c.counted, d)
}

// Receive is as strict in its order as broker.Consumer's: nothing comes after a loss.
func (c *modelChannel) Receive(stop <-chan struct{}) (*Delivery, bool) {
	for {
		select {
		case <-c.lost:
			return nil, false
		case <-stop:
			return nil, false
		default:
		}
		d, news := c.take()
		if d != nil {
			return d, true
		}
		if news == nil {
			return nil, false
		}
		select {
		case <-news:
		case <-c.lost:
		case <-stop:
		}
	}
}

// take returns a delivery, or what to wait for, or neither if nothing can come.
func (c *modelChannel) take() (*Delivery, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.received < len(c.deliveries):
		d := c.deliveries[c.received]
		c.received++
		return &Delivery{
			Queue: "q", DeliveryTag: d.tag, Generation: c.generation, Redelivered: d.again, MessageID: d.id, RoutingKey: d.key,
			ReceivedAt: time.Now(), Headers: d.headers(),
		}, nil
	case !c.subscribed:
		return nil, nil
	}
	return nil, c.news
}

func (m *modelMessage) headers() map[string]any {
	if m.attempts == 0 {
		return nil
	}
	return map[string]any{HeaderAttempts: int64(m.attempts)}
}

func (c *modelChannel) Lost() <-chan struct{} { return c.lost }

func (c *modelChannel) Ack(tag uint64) error { return c.settle(acked, tag) }

func (c *modelChannel) AckUpTo(tag uint64) error { return c.settle(ackedTo, tag) }

func (c *modelChannel) Nack(tag uint64) error { return c.settle(nacked, tag) }

func (c *modelChannel) Reject(tag uint64, requeue bool) error {
	if requeue {
		return c.settle(repelled, tag)
	}
	return c.settle(killed, tag)
}

func (c *modelChannel) settle(how settlement, tag uint64) error {
	c.write(how)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return broker.ErrStale
	}
	c.note("%s %d on channel %d", how, tag, c.generation)
	if tag == 0 || tag > uint64(len(c.deliveries)) || c.deliveries[tag-1].told != "" {
		c.fault("406 PRECONDITION_FAILED: %s: unknown delivery tag %d on channel %d", how, tag, c.generation)
		return nil
	}
	first := tag
	if how == ackedTo {
		first = 1
	}
	for _, d := range c.deliveries[first-1 : tag] {
		if d.told == "" {
			c.outcome(d, how)
		}
	}
	c.deliver()
	return nil
}

// write is where a settlement waits until others have written.
func (c *modelChannel) write(how settlement) {
	if how == acked || how == ackedTo {
		for range c.yields {
			runtime.Gosched()
		}
		return
	}
	c.mu.Lock()
	c.written++
	took := c.writes[c.written%len(c.writes)]
	c.mu.Unlock()
	time.Sleep(took)
}

// outcome is what one delivery's settlement comes to. It is called with mu held.
func (c *modelChannel) outcome(d *modelDelivery, how settlement) {
	if problem := c.allowed(d, how); problem != "" {
		c.fault("%s of %v: %s", how, d, problem)
	}
	d.told = how
	if c.cut || !d.outstanding {
		return
	}
	c.putBack(d)
	switch how {
	case acked, ackedTo:
		d.gone = acked
		d.there--
	case killed:
		d.gone = killed
		d.there--
		d.killed++
	}
	if d.lost() {
		c.fault("%s of %v: the message is lost", how, d)
	}
}
