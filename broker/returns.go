package broker

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
)

// returns tells which published messages came back (basic.return) since no queue was bound for them. A return
// names its message by nothing but what was published, so each message in flight has an id that no other has.
type returns struct {
	prefix string      // of the ids that are given here
	ids    chan string // of messages that came back, in the order of the reader

	mu       sync.Mutex
	given    uint64
	inFlight map[string]*Confirm // by their ids
}

// idLength is how much of a message's id is the publisher's own: 60 random bits.
const idLength = 12

func newReturns() *returns {
	return &returns{
		prefix:   rand.Text()[:idLength] + "-",
		ids:      make(chan string, MaxUnconfirmed),
		inFlight: map[string]*Confirm{},
	}
}

// add takes a message that came back.
func (r *returns) add(m *Delivery) {
	select {
	case r.ids <- m.publishID():
	default: // cannot be: there is room for the whole window
	}
}

// publishID tells a message that was published from others.
func (d *Delivery) publishID() string {
	if d.MessageID != "" {
		return d.MessageID
	}
	id, _ := d.Headers[HeaderPublishID].(string)
	return id
}

// identify gives a message what tells it from others, if it has nothing.
func (r *returns) identify(m *Message) (id string) {
	if m.MessageID != "" {
		return m.MessageID
	}
	r.mu.Lock()
	r.given++
	id = r.prefix + strconv.FormatUint(r.given, 10)
	r.mu.Unlock()
	m.Identify(id)
	return id
}

// claim waits until no other message of the same id is in flight.
func (r *returns) claim(ctx context.Context, c *Confirm) error {
	for {
		r.mu.Lock()
		earlier := r.inFlight[c.id]
		if earlier == nil {
			r.inFlight[c.id] = c
		}
		r.mu.Unlock()
		if earlier == nil {
			return nil
		}
		select {
		case <-earlier.sent:
		case <-ctx.Done():
			return ctx.Err()
		}
		if earlier.deferred != nil {
			if _, err := earlier.deferred.WaitContext(ctx); err != nil {
				return err
			}
		}
		r.release(earlier)
	}
}

// release tells, once the confirm is there, whether the message came back, and lets others have its id.
// RabbitMQ sends basic.return before the confirm of the same message, and the reader adds it here before it
// resolves the confirm; so what is not in ids now did not come back.
func (r *returns) release(c *Confirm) (returned bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.ids) > 0 { // only here they are taken out
		if confirm := r.inFlight[<-r.ids]; confirm != nil {
			confirm.returned = true
		}
	}
	if r.inFlight[c.id] == c {
		delete(r.inFlight, c.id)
	}
	return c.returned
}
