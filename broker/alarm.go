package broker

// alarm is what the broker says of an alarm of its own: that it reads nothing from now on (connection.blocked), or that it
// reads again.
type alarm struct {
	active bool
	reason string
}

// alarms has the last one that nobody has taken.
//
// amqp091-go does not get to see them. Its reader sends to the listener's channel, and whoever closes the connection closes
// that channel, with no lock between the two (v1.16.0): at the wrong moment the process ends by a panic.
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
