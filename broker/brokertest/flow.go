package brokertest

// RabbitMQ's flow control (https://www.rabbitmq.com/docs/flow-control), as far as it concerns queues that are suspended. A
// channel has a credit of messages with a queue, and one with its connection. The queue gives its credit back when it takes
// messages, and the channel, in parts, unless it has none left with some queue. A connection that has no credit with one of
// its channels reads nothing more.
const (
	credit       = 400
	creditPart   = 200
	quorumCredit = 32 // with a quorum queue
)

// flow is what a channel knows of its credit.
type flow struct {
	handled int            // messages that came on the channel
	owed    map[*queue]int // messages that a suspended queue has not taken
	held    bool           // a queue has left it no credit
	left    int            // the connection's credit then
}

// sent counts a message that has gone to queues.
func (ch *channel) sent(queues []*queue) {
	f := &ch.flow
	f.handled++
	if f.held {
		f.left--
	}
	for _, q := range queues {
		if !q.suspended {
			continue
		}
		if f.owed == nil {
			f.owed = map[*queue]int{}
		}
		if f.owed[q]++; !f.held && f.owed[q] >= q.credit() {
			f.held, f.left = true, credit-f.handled%creditPart
		}
	}
	if c := ch.connection; f.isSpent() && c.halted == nil {
		c.halted = make(chan struct{})
	}
}

func (f *flow) isSpent() bool { return f.held && f.left <= 0 }

func (q *queue) credit() int {
	if q.kind == quorum {
		return quorumCredit
	}
	return credit
}

// flowAgain is for when queues have taken what was sent to them, or a channel has ended.
func (c *connection) flowAgain() {
	spent := false
	for _, ch := range c.channels {
		f := &ch.flow
		if f.held = false; ch.closing {
			continue
		}
		for q, n := range f.owed {
			switch {
			case !q.suspended || q.deleted:
				delete(f.owed, q)
			case n >= q.credit():
				f.held = true
			}
		}
		spent = spent || f.isSpent()
	}
	if c.halted != nil && !spent {
		close(c.halted)
		c.halted = nil
	}
}
