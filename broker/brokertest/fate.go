package brokertest

// fate is what a fault has in store for a message that is on its way in.
type fate int

const (
	routable   fate = iota // none
	refused                // no queue takes it
	unroutable             // it leads to no queue
)

// Nack has no queue take the message whose basic.publish is its moment: it is nacked, as when a queue's process fails.
// In tx mode the commit fails. It needs OnMethod("basic.publish", n).
func Nack() Fault { return ordain("Nack", refused) }

// Unroute has the message whose basic.publish is its moment lead to no queue, as when its binding has just gone: it comes
// back if it is mandatory, and is confirmed. It needs OnMethod("basic.publish", n).
func Unroute() Fault { return ordain("Unroute", unroutable) }

// ordain is the fault that has a fate in store for the message whose basic.publish is its moment.
func ordain(name string, f fate) Fault {
	return Fault{name: name, connection: func(c *connection, at aim) bool {
		if ch := c.channels[at.channel]; ch != nil {
			ch.fate = f
		}
		return false
	}}
}
