package consumer_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// The connection is cut ten times while handlers work. Every message is handled; none is acknowledged
// before its handler returned: that is read off the wire, and RabbitMQ is asked as well.
func TestCutsWhileHandlersWork(t *testing.T) {
	t.Parallel()
	slow := work{messages: 2000, least: 200 * time.Millisecond, most: 1500 * time.Millisecond}
	fast := work{messages: 20000, most: 40 * time.Millisecond} // acknowledgements share frames
	for _, test := range []struct {
		name, kind string
		work       work
		suppress   int
	}{
		{"cuts-classic", "classic", slow, 0},
		{"cuts-classic-suppress", "classic", slow, 4096},
		{"cuts-quorum-suppress", "quorum", slow, 4096},
		{"cuts-classic-fast", "classic", fast, 0},
		{"cuts-quorum-fast-suppress", "quorum", fast, 4096},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cutWhileHandlersWork(t, test.kind, test.work, test.suppress)
		})
	}
}

// work is how much there is to do, and how long a handler takes for a message.
type work struct {
	messages    int
	least, most time.Duration
}

func cutWhileHandlersWork(t *testing.T, kind string, w work, suppress int) {
	const cuts = 10
	l := newLedger(t, suppress > 0) // before the rig, so that it looks when the consumer has ended
	r := newRig(t)
	r.remake(kind, nil)
	r.config.Dial = l.dial
	r.config.Logger = r.config.Logger.Level(zerolog.WarnLevel) // without hundreds of stale outcomes

	r.config.Heartbeat = 2 * time.Second // the broker finds out within three of them
	r.config.Subscriptions[0].Concurrency = 50
	r.config.Subscriptions[0].Prefetch = 100
	r.config.Subscriptions[0].Suppress = suppress
	r.config.Subscriptions[0].Handler = func(_ context.Context, d *consumer.Delivery) error {
		l.begin(d)
		<-time.After(w.least + rand.N(w.most-w.least)) // the work
		l.finish(d)
		return nil
	}
	r.load(w.messages)
	r.start()
	asked := func() {}
	if kind == "classic" {
		asked = l.audit(r, w.messages)
	}
	for i := range cuts {
		r.await("the handlers to get on", func() bool { return l.handled() >= (i+1)*w.messages/(cuts+1) })
		n := r.events()
		r.cut(i)
		asked()
		r.awaitEvent(n, consumer.Revived)
	}
	r.await("every message to be handled", func() bool { return l.handled() == w.messages })
	r.awaitDepth(r.queue, 0, 0)
	r.stop()
	r.replays()
	l.check(t, w.messages)
	if kind == "classic" && l.audits < cuts {
		t.Errorf("RabbitMQ has answered %d times, and was asked at each of %d cuts", l.audits, cuts)
	}
	stats := r.c.Stats()
	t.Logf("%v; %+v", l, stats)
	if (stats.Suppressed > 0) != (suppress > 0) {
		t.Errorf("%d deliveries were suppressed, with a memory of %d", stats.Suppressed, suppress)
	}
}

// cut breaks the connection, each number in its way, so that a new one is made.
func (r *rig) cut(i int) {
	r.Helper()
	n := r.events()
	switch i {
	case 1:
		r.proxy.DropCurrent(rabbittest.Both)
	case 3: // nobody listens for a while
		r.proxy.Refuse()
		r.awaitEvent(n, consumer.ReviveFailed)
		r.must(r.proxy.Accept())
	case 4: // deliveries come, acknowledgements do not arrive
		r.proxy.DropCurrent(rabbittest.ToBroker)
	case 6: // only its own heartbeat tells the broker
		r.proxy.FreezeCurrent(rabbittest.Both)
	case 8: // acknowledgements arrive when the consumer has given up the connection
		r.proxy.Freeze(rabbittest.Both)
		r.awaitState(consumer.Reviving)
		r.proxy.Thaw()
	default:
		r.proxy.Reset()
	}
}

// ledger holds every acknowledgement that leaves against the handlers that have returned.
type ledger struct {
	suppress bool // an acknowledgement may stand for what an earlier delivery's handler did

	mu       sync.Mutex
	dials    uint64
	dialOf   map[uint64]uint64 // by generation
	sent     map[spot]string   // by the broker: the message's body, which is its id
	returned map[spot]bool     // a handler, with nil
	done     map[string]int    // how often a handler returned nil for the message
	acked    map[string]int    // how often its acknowledgement left
	frames   int               // that carried them
	audits   int               // answers of RabbitMQ's
	closest  int               // that the messages it held no more came to those that were handled
	wrong    []string
}

// spot is where a delivery came in.
type spot struct{ dial, tag uint64 }

func newLedger(t *testing.T, suppress bool) *ledger {
	l := &ledger{
		suppress: suppress,
		dialOf:   map[uint64]uint64{}, sent: map[spot]string{}, returned: map[spot]bool{},
		done: map[string]int{}, acked: map[string]int{},
	}
	t.Cleanup(func() { l.report(t) })
	return l
}

// begin is the first that a handler does.
func (l *ledger) begin(d *consumer.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at(d)
}

// at finds out which connection a generation has: several may be dialled for one, since a dial that hangs
// is not waited for. It is called with mu held.
func (l *ledger) at(d *consumer.Delivery) spot {
	for dial := l.dials; dial > 0 && l.dialOf[d.Generation] == 0; dial-- {
		if l.sent[spot{dial, d.DeliveryTag}] == string(d.Body) {
			l.dialOf[d.Generation] = dial
		}
	}
	return spot{l.dialOf[d.Generation], d.DeliveryTag}
}

// finish is the last that a handler does.
func (l *ledger) finish(d *consumer.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.at(d)
	if l.sent[at] != string(d.Body) {
		l.complain("%v: the handler got %q, and %q was sent", at, d.Body, l.sent[at])
	}
	l.returned[at] = true
	l.done[string(d.Body)]++
}

func (l *ledger) handled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.done)
}

// complain is called with mu held.
func (l *ledger) complain(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// report tells what was wrong, also if the test has failed before.
func (l *ledger) report(t *testing.T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range l.wrong[:min(10, len(l.wrong))] {
		t.Error(text)
	}
	if len(l.wrong) > 10 {
		t.Errorf("and %d more", len(l.wrong)-10)
	}
}

// check is for the end, when the queue is empty.
func (l *ledger) check(t *testing.T, messages int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.done) != messages || len(l.acked) != messages {
		t.Errorf("%d messages were handled and %d acknowledged, want %d", len(l.done), len(l.acked), messages)
	}
	for id, times := range l.done {
		if l.suppress && times != 1 {
			t.Errorf("%s was handled to the end %d times", id, times)
		}
	}
}

func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	repeated, audits := 0, ""
	if l.audits > 0 {
		audits = fmt.Sprintf("; RabbitMQ was asked %d times, and was %d behind at least", l.audits, l.closest)
	}
	for _, times := range l.done {
		repeated += times - 1
	}
	return fmt.Sprintf("%d dials, %d deliveries, %d handled, %d of them again, %d acknowledged in %d frames%s",
		l.dials, len(l.sent), len(l.returned), repeated, len(l.acked), l.frames, audits)
}

// audit holds what RabbitMQ says against the handlers that have returned: what it neither has ready nor
// waits for an outcome of is acknowledged. It is asked again and again until the test ends, and by the
// function that is returned.
//
// A classic queue answers both numbers at once. A quorum queue's are written down every few seconds, and
// read one after the other: their sum may miss what was put back in between.
func (l *ledger) audit(r *rig, published int) (ask func()) {
	const often = 100 * time.Millisecond
	l.closest = published
	ask = func() {
		ready, unacked, err := r.node.Depth(context.Background(), r.queue)
		if err != nil {
			return // the end says how many answers there were
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		gone, handled := published-ready-unacked, len(l.done) // which was no more when RabbitMQ answered
		l.audits++
		l.closest = min(l.closest, handled-gone)
		if gone > handled {
			l.complain("RabbitMQ holds %d messages ready and %d unacknowledged, so %d are acknowledged, and only %d were handled",
				ready, unacked, gone, handled)
		}
	}
	over := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(often):
				ask()
			}
		}
	})
	r.Cleanup(func() {
		close(over)
		asking.Wait()
	})
	return ask
}

// dial is for Config.Dial.
func (l *ledger) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	l.dials++
	dial := l.dials
	l.mu.Unlock()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &tapped{Conn: conn, ledger: l, dial: dial, open: map[uint64]string{}}, nil
}

// tapped is a connection that is read along.
type tapped struct {
	net.Conn
	ledger *ledger
	dial   uint64

	in, out frames            // used by one goroutine each
	channel uint16            // that delivers; there is one subscription
	tag     uint64            // of a delivery whose body is to come
	open    map[uint64]string // unsettled deliveries; this and the above are guarded by ledger.mu
}

// frames cuts a stream into AMQP frames.
type frames struct{ rest []byte }

const bodyFrame = 3

func (f *frames) feed(chunk []byte, each func(kind byte, channel uint16, payload []byte)) {
	f.rest = append(f.rest, chunk...)
	if greeting := []byte("AMQP\x00\x00\x09\x01"); bytes.HasPrefix(f.rest, greeting) {
		f.rest = f.rest[len(greeting):]
	}
	for len(f.rest) >= 7 {
		end := 7 + int(binary.BigEndian.Uint32(f.rest[3:]))
		if len(f.rest) <= end {
			return
		}
		each(f.rest[0], binary.BigEndian.Uint16(f.rest[1:]), f.rest[7:end])
		f.rest = f.rest[end+1:]
	}
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	c.in.feed(p[:n], c.fromBroker)
	return n, err
}

// Write looks before it sends, so that no handler can return in between.
func (c *tapped) Write(p []byte) (int, error) {
	c.ledger.mu.Lock()
	c.out.feed(p, c.fromClient)
	c.ledger.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *tapped) fromBroker(kind byte, channel uint16, payload []byte) {
	switch {
	case kind == methodFrame && bytes.HasPrefix(payload, []byte{0, 60, 0, 60}): // basic.deliver
		if c.channel != 0 && c.channel != channel {
			c.ledger.complain("dial %d: deliveries on channels %d and %d", c.dial, c.channel, channel)
		}
		c.channel = channel
		behind := payload[5+payload[4]:] // the consumer tag
		c.tag = binary.BigEndian.Uint64(behind)
	case kind == bodyFrame && channel == c.channel:
		c.open[c.tag] = string(payload)
		c.ledger.sent[spot{c.dial, c.tag}] = string(payload)
	}
}

func (c *tapped) fromClient(kind byte, channel uint16, payload []byte) {
	if kind != methodFrame || len(payload) < 13 || payload[1] != 60 {
		return
	}
	tag, bits := binary.BigEndian.Uint64(payload[4:]), payload[12]
	switch payload[3] {
	case 80: // basic.ack
		c.ledger.frames++
		c.settle(channel, tag, bits&1 != 0, c.acknowledge)
	case 90: // basic.reject
		c.settle(channel, tag, false, func(uint64) {})
	case 120: // basic.nack
		c.settle(channel, tag, bits&1 != 0, func(uint64) {})
	}
}

// settle expands what is settled up to a tag.
func (c *tapped) settle(channel uint16, tag uint64, multiple bool, each func(tag uint64)) {
	if _, ok := c.open[tag]; !ok || channel != c.channel {
		c.ledger.complain("%v: settled on channel %d, and is not outstanding there", spot{c.dial, tag}, channel)
		return
	}
	for t := range c.open {
		if t == tag || multiple && t < tag {
			each(t)
			delete(c.open, t)
		}
	}
}

func (c *tapped) acknowledge(tag uint64) {
	l, at, id := c.ledger, spot{c.dial, tag}, c.open[tag]
	l.acked[id]++
	if !l.returned[at] && (!l.suppress || l.done[id] == 0) {
		l.complain("%v: %s was acknowledged before its handler returned", at, id)
	}
}

// remake replaces the queue by one of another type: classic, quorum or stream.
func (r *rig) remake(kind string, arguments map[string]any) {
	r.Helper()
	rabbittest.NeedsControl(r)
	r.deleteQueue(r.queue)
	all := map[string]any{"x-queue-type": kind}
	for name, value := range arguments {
		all[name] = value
	}
	r.session(broker.Subscription{
		Queue: r.queue, Prefetch: 1, Declare: &broker.QueueOptions{Durable: true, Arguments: all},
	})
}

// load publishes messages past the proxy, many at a time; their ids are their bodies.
func (r *rig) load(n int) {
	r.Helper()
	const together = 200 // fewer than a Publisher's window
	r.withPublisher(func(p *broker.Publisher) {
		var confirms []*broker.Confirm
		for i := range n {
			r.mu.Lock()
			r.published++
			id := fmt.Sprintf("message %d", r.published)
			r.mu.Unlock()
			confirm, err := p.Publish(r.Context(), broker.Message{RoutingKey: r.queue, MessageID: id, Body: []byte(id)})
			r.must(err)
			confirms = append(confirms, confirm)
			if len(confirms) == together || i == n-1 {
				for _, c := range confirms {
					r.must(c.Wait(r.Context()))
				}
				confirms = nil
			}
		}
	})
}

// awaitDepth waits until the broker counts so many messages.
func (r *rig) awaitDepth(queue string, ready, unacked int) {
	r.Helper()
	r.await(fmt.Sprintf("%d messages ready in %s, and %d unacknowledged", ready, queue, unacked), func() bool {
		n, m, err := r.node.Depth(r.Context(), queue)
		return err == nil && n == ready && m == unacked
	})
}
