package brokertest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

// QueueState is what a queue holds.
type QueueState struct {
	VirtualHost, Name string
	Ready             int // messages that wait for a consumer
	Unacknowledged    int // messages that were delivered and not settled yet
	Consumers         int

	// What has left it since it was declared: messages that were settled with basic.ack or delivered with
	// no-ack, and messages that were settled with basic.nack or basic.reject and not requeued.
	Acknowledged, Rejected int
}

// ConnectionState is what is known of a client.
type ConnectionState struct {
	ID               int // counts from 1 over the server's life
	User             string
	Peer             string // the client's address; empty in memory
	VirtualHost      string
	ClientProperties map[string]any
	Heartbeat        time.Duration // as negotiated
	Channels         int
	Consumers        int
	Blocked          bool
}

// Queue is the state of a queue; false if there is none of that name.
func (v *VirtualHost) Queue(name string) (QueueState, bool) {
	v.server.mu.Lock()
	defer v.server.mu.Unlock()
	if q := v.queue(name); q != nil {
		return q.state(), true
	}
	return QueueState{}, false
}

// Queues are all queues, by virtual host and name.
func (s *Server) Queues() []QueueState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var states []QueueState
	for _, host := range s.hosts {
		for _, q := range host.queues {
			states = append(states, q.state())
		}
	}
	slices.SortFunc(states, func(a, b QueueState) int {
		return cmp.Or(cmp.Compare(a.VirtualHost, b.VirtualHost), cmp.Compare(a.Name, b.Name))
	})
	return states
}

func (q *queue) state() QueueState {
	return QueueState{
		VirtualHost: q.host.name, Name: q.name,
		Ready: q.ready.Len(), Unacknowledged: q.unacked, Consumers: len(q.consumers),
		Acknowledged: q.acknowledged, Rejected: q.rejected,
	}
}

// Connections are the clients connected now, in the order in which they came.
func (s *Server) Connections() []ConnectionState {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make([]ConnectionState, 0, len(s.connections))
	for _, c := range s.connectionsInOrder() {
		if c.stage == ended {
			continue
		}
		state := ConnectionState{
			ID: c.id, User: c.user, Peer: c.peer(), ClientProperties: wire.Clone(c.client), Heartbeat: c.heartbeat,
			Channels: len(c.channels), Blocked: c.unblocked != nil,
		}
		if c.host != nil {
			state.VirtualHost = c.host.name
		}
		for _, ch := range c.channels {
			state.Consumers += len(ch.consumers)
		}
		states = append(states, state)
	}
	return states
}

// Settlement is a message that was acknowledged or rejected.
type Settlement struct {
	Time        time.Time
	Connection  int // its ID
	Channel     uint16
	Method      string // basic.ack, basic.nack, basic.reject
	Frame       uint64 // settlements of one frame, sent with multiple, share its number
	Multiple    bool
	Requeue     bool
	Queue       string
	VirtualHost string
	Tag         uint64 // delivery tag
	MessageID   string
	Body        []byte // its first 256 bytes
}

// shown is how much of a body a settlement has.
const shown = 256

// remembered is how many settlements are kept; older ones are forgotten.
const remembered = 1 << 14

// history is what was seen. It is guarded by the server's mu.
type history struct {
	counts  map[string]int
	ignored map[string]struct{}
	frames  uint64
	settles recent[Settlement]
}

func newHistory() history {
	return history{counts: make(map[string]int), ignored: make(map[string]struct{})}
}

// Ignored are the arguments that a server with IgnoreUnknown has passed over, each once, such as
// "queue.declare x-delayed-retry-type", and what Config.Definitions have that is not known here, such as "definitions
// policy mirrored", in alphabetical order.
func (s *Server) Ignored() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.seen.ignored))
}

// unknown refuses an argument of a method that the server does not know, or notes it.
func (s *Server) unknown(method, argument string) error {
	if !s.lenient {
		return refuse(notImplemented, "brokertest knows no argument '%s' of %s", argument, method)
	}
	s.seen.ignored[method+" "+argument] = struct{}{}
	return nil
}

// Count is how often a method was seen since the server was started, either way. An acknowledgement of
// many messages counts once.
func (s *Server) Count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.counts[method]
}

// Settlements are the last 16384 messages that were acknowledged or rejected, the oldest one first. Their
// number grows no further than that: to count, ask Queue.
func (s *Server) Settlements() []Settlement {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.settles.list()
}

func (h *history) settled(ch *channel, m wire.Method, multiple, requeue bool, taken []*delivery) {
	h.frames++
	for _, d := range taken {
		h.settles.add(Settlement{
			Time: time.Now(), Connection: ch.connection.id, Channel: ch.id,
			Method: wire.Name(m), Frame: h.frames, Multiple: multiple, Requeue: requeue,
			Queue: d.queue.name, VirtualHost: d.queue.host.name, Tag: d.tag,
			MessageID: d.entry.properties.MessageID,
			Body:      slices.Clone(d.entry.body[:min(len(d.entry.body), shown)]),
		})
	}
}

// recent keeps the last of many.
type recent[T any] struct {
	kept []T
	next int // where the oldest is, once all room is taken
}

func (r *recent[T]) add(item T) {
	if len(r.kept) < remembered {
		r.kept = append(r.kept, item)
		return
	}
	r.kept[r.next] = item
	r.next = (r.next + 1) % remembered
}

func (r *recent[T]) list() []T { return slices.Concat(r.kept[r.next:], r.kept[:r.next]) }
