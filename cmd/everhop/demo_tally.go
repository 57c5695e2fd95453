package main

import (
	"errors"
	"fmt"
)

// tally counts messages: published = handled + waiting + lost.
type tally struct {
	published   int // and confirmed by the broker
	handled     int // of these
	waiting     int // at the broker, or on their way to a handler
	lost        int // neither handled nor at the broker any more
	redelivered int // deliveries that the broker marked so
	repeated    int // messages that were handled more than once
}

// tally counts, with the help of how many messages the broker holds. While it counts no handler can end, and
// none is acknowledged before that: so what the broker does not hold, and nobody has handled, is lost. What
// was handled without its acknowledgement having arrived is held too, and may hide a loss until it is gone.
func (l *ledger) tally(held func() int) (t tally) {
	l.look(func(h *history) {
		unhandled := 0
		for _, m := range h.messages {
			if m.handled > 1 {
				t.repeated++
			}
			switch {
			case !m.confirmed:
				continue
			case m.handled == 0:
				unhandled++
			}
			t.published++
		}
		for _, c := range h.calls {
			if c.redelivered {
				t.redelivered++
			}
		}
		t.waiting = min(unhandled, held())
		t.lost = unhandled - t.waiting
		t.handled = t.published - unhandled
	})
	return t
}

// judge is the error that the count is; who interrupts leaves messages in the queue on purpose.
func (t tally) judge(interrupted bool) error {
	switch {
	case t.lost > 0:
		return errors.New(messages(t.lost) + " lost")
	case t.waiting > 0 && !interrupted:
		return errors.New(messages(t.waiting) + " not handled, and still in the queue")
	}
	return nil
}

// messages is a number of them, in words.
func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}
