package broker

// alarm is what the broker says of an alarm of its own: that it reads nothing from now on (connection.blocked), or that it
// reads again.
type alarm struct {
	active bool
	reason string
}

// alarms has the last one that nobody has taken.
//
// amqp091-go does not get to see them. It would tell a listener from its reader, and closes the listener's channel from
// whoever closes the connection, without a lock between the two: at the wrong moment the process ends.
type alarms chan alarm

func newAlarms() alarms { return make(alarms, 1) }

// put is called by the connection's reader only, so there is room once the last one is taken out.
func (a alarms) put(latest alarm) {
	select {
	case <-a:
	default:
	}
	a <- latest
}
