package publish

import (
	"context"
	"testing"

	"github.com/everhop/everhop/broker"
)

// What is confirmed while Commit looks at it is not sent again.
func TestBatchConfirmedMeanwhile(t *testing.T) {
	const messages = defaultCredit / 2
	inHurry, cancel := context.WithCancel(t.Context())
	cancel()
	for range 1000 { // it takes some luck to be at the moment
		l, on := newLedger(2*messages, 1<<40), newLane(defaultCredit)
		l.attach(on)
		var b Batch
		for range messages {
			c, err := l.accept(&broker.Message{RoutingKey: "q"})
			if err != nil {
				t.Fatal(err)
			}
			l.next(on)
			b.sent = append(b.sent, c)
		}
		confirmed := make(chan struct{})
		go func() {
			defer close(confirmed)
			for n := range uint64(messages) {
				l.confirmed(on, n+1, false, true)
			}
		}()
		for going := true; going; {
			_ = b.Commit(inHurry)
			select {
			case <-confirmed:
				going = false
			default:
			}
		}
		if l.number != messages {
			t.Fatalf("%d confirmed messages were sent again", l.number-messages)
		}
	}
}
