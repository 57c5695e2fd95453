package consumer

import (
	"runtime"
	"time"

	"github.com/everhop/everhop/broker"
)

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
		d.came = time.Now()
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

func (c *modelChannel) Waiting() (int, uint64, time.Time) { return 0, 0, time.Time{} }

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
