package consumer

// Dedup acknowledges redeliveries of messages that were handled, without calling the handler. It covers what
// this subscription has handled, and nothing across a restart. It has no effect on a stream, whose deliveries
// are never marked as redelivered.
type Dedup struct {
	// Window is how many ids of handled messages are remembered, the newest. It should be several times the
	// prefetch. Defaults to 0: nothing is deduplicated.
	Window int
	// ID names a message; it must be unique, or a message may be taken for another one and be lost. It is
	// called by several goroutines at once, and not for what could not be read (Delivery.Unreadable). That and
	// messages with an empty ID are never deduplicated. Defaults to Delivery.MessageID.
	ID func(*Delivery) string
}
