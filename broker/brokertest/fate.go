package brokertest

import (
	"fmt"
	"time"
)

// fate is what a fault has in store for a message that is on its way in.
type fate int

const (
	routable   fate = iota // none
	refused                // no queue takes it
	unroutable             // it leads to no queue
)

// Nack has no queue take the message whose basic.publish is its moment: it is nacked, as when a queue's process fails.
// In tx mode the commit fails. It needs OnMethod("basic.publish", n).
func Nack() Fault { return ordain("Nack", func(ch *channel) { ch.fate = refused }) }

// Unroute has the message whose basic.publish is its moment lead to no queue, as when its binding has just gone: it comes
// back if it is mandatory, and is confirmed. It needs OnMethod("basic.publish", n).
func Unroute() Fault { return ordain("Unroute", func(ch *channel) { ch.fate = unroutable }) }

// Withhold never confirms the message whose basic.publish is its moment, though it is there. It needs
// OnMethod("basic.publish", n). WithholdConfirms does so with all of a queue.
func Withhold() Fault { return ordain("Withhold", func(ch *channel) { ch.assent.withheld = true }) }

// ConfirmAfter confirms the message whose basic.publish is its moment late, and so perhaps after others that were
// published later. It needs OnMethod("basic.publish", n).
func ConfirmAfter(d time.Duration) Fault {
	return ordain(fmt.Sprintf("ConfirmAfter(%v)", d), func(ch *channel) { ch.assent.after = d })
}

// ConfirmTogether confirms the message whose basic.publish is its moment, and those behind it on the channel, count of
// them in all, with a single frame: an ack with multiple, once the last has come. It needs OnMethod("basic.publish", n).
func ConfirmTogether(count int) Fault {
	return ordain(fmt.Sprintf("ConfirmTogether(%d)", count), func(ch *channel) { ch.together = max(count, ch.together) })
}

// ordain is the fault that decides about the message whose basic.publish is its moment.
func ordain(name string, decide func(*channel)) Fault {
	return Fault{
		name: name,
		connection: func(c *connection, at aim) bool {
			if ch := c.channels[at.channel]; ch != nil {
				decide(ch)
			}
			return false
		},
		fits: func(m Moment) string {
			if m.on == method && m.method == "basic.publish" {
				return ""
			}
			return `OnMethod("basic.publish", n)`
		},
	}
}
