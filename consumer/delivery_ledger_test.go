package consumer_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
)

// ledger holds every acknowledgement that leaves against the handlers that have returned.
type ledger struct {
	dedup bool // an acknowledgement may stand for what an earlier delivery's handler did

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

func newLedger(t *testing.T, dedup bool) *ledger {
	l := &ledger{
		dedup:  dedup,
		dialOf: map[uint64]uint64{}, sent: map[spot]string{}, returned: map[spot]bool{},
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
		if l.dedup && times != 1 {
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
