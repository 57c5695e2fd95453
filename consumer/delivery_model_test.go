package consumer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
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
	again       bool // flagged as redelivered
	came        time.Time
	outstanding bool       // the broker waits for it
	told        settlement // the client has sent its outcome, or believes so
	stale       int        // how often the client said that its outcome was dropped
	copied      verdict    // parked or delayed: the outbox has confirmed that
	never       bool       // the outbox has said that it cannot be delayed
	tripped     bool       // its last failure was one too many for the breaker, or
	opened      time.Time  // the breaker was open before that; zero: nobody knows

	calls   int
	before  int // calls before it was kept for the last time: it counts anew
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

const (
	success   modelOutcome = "nil"
	failed    modelOutcome = "an error"
	panics    modelOutcome = "a panic"
	requeue   modelOutcome = "Requeue"
	reject    modelOutcome = "Reject"
	later     modelOutcome = "RetryAfter"
	muchLater modelOutcome = "RetryAfter, too long for its place"
	goexit    modelOutcome = "runtime.Goexit"
)
