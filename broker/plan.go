package broker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"time"
)

// Plan is everything a connection is opened from. The zero value of each duration means its default;
// other values must be between 1 ms and 1 h. A Plan is only read, and may be used for any number of
// connections.
//
// Credentials, TLS and Dial are called on goroutines of their own, perhaps several at once. An error of the
// first two, a panic of any, and nothing where a connection was to be returned, fail that dial with class
// Unknown, which is retried. One that ignores its context is left behind, and a connection that it returns
// then is closed.
type Plan struct {
	// Endpoints are the broker's addresses; at least one.
	Endpoints []Endpoint
	// Credentials is asked before each dial. Defaults to those in the endpoint's URL.
	Credentials CredentialsFunc
	// TLS is asked before each dial of an amqps endpoint. Defaults to the files named in the
	// endpoint's URL, else the system's authorities. TLS 1.2 is the least in any case.
	TLS TLSFunc
	// Dial opens the transport, which must support deadlines. Its errors are classified like any other.
	// It is given the host as the URL has it: a proxy may know the name better. Defaults to a net.Dialer, and all
	// addresses that the host name has are tried then, as endpoints are; the one that failed last is the last
	// to be tried. The name is looked up anew for each attempt, but at most once a second.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Name is the connection's name in the broker's management pages and in
	// `rabbitmqctl list_connections name client_properties`. At most 255 bytes.
	Name string
	// Heartbeat is the interval asked of the broker, which may choose a shorter one: whole seconds,
	// from 1 s to 65535 s. Defaults to that of the endpoint's URL, else to 10 s.
	Heartbeat time.Duration
	// DrainTimeout is how long no byte may come in, and none of a large write go out, before the peer is probed.
	// Defaults to 2 s.
	DrainTimeout time.Duration
	// ProbeTimeout is how long no byte may come in after that before the peer counts as dead. It does not
	// run while the peer still takes what was sent before the probe.
	// Defaults to 2 s.
	ProbeTimeout time.Duration
	// ConnectTimeout is how long dialing and the AMQP handshake may take, over all endpoints.
	// Defaults to 5 s, or the longest connection_timeout of the endpoints' URLs if that is more.
	ConnectTimeout time.Duration
	// CallTimeout is how long the broker may take over what is asked of it, such as to consume from a queue, on
	// a connection that is otherwise alive. Past it the call returns an *Error of class Overdue and its channel is
	// left behind, which costs the connection nothing. A call that concerns the connection as a whole, to open or to
	// close it, ends that. It may take three times as long under an alarm that stops the broker from reading.
	// Defaults to 10 s.
	CallTimeout time.Duration
	// MaxMessageSize is how many bytes the header and the body of a message may take together; the body of a
	// larger one is not kept, and its Delivery is marked Unreadable. Defaults to 256 MiB.
	MaxMessageSize int64
	// Subscriptions are what a Session can consume, by index.
	Subscriptions []Subscription

	resolver *resolver // nil: Dial is given names
}

// Subscription is one queue to consume from, and what to declare before. Its names, routing keys and the
// keys of its arguments are checked by [CheckName].
type Subscription struct {
	// Queue is the queue's name. It may be empty if Declare is set: the broker then names it, anew
	// on each connection.
	Queue string
	// Declare creates the queue where it is missing. Nil expects it to exist. What exists is used as it is.
	Declare *QueueOptions
	// Exchanges are declared before the queue, Bindings after it, both in order.
	Exchanges []Exchange
	Bindings  []Binding
	// Prefetch is how many deliveries may be unacknowledged at once; at least 1.
	Prefetch int
	// Exclusive asks to be the queue's only consumer.
	Exclusive bool
	// ConsumerTag names the consumer at the broker. Defaults to the connection's name and the index.
	ConsumerTag string
	// Arguments of basic.consume, e.g. x-priority, x-stream-offset.
	Arguments map[string]any
}

// Defaults of Plan.
const (
	DefaultHeartbeat      = 10 * time.Second
	DefaultDrainTimeout   = 2 * time.Second
	DefaultProbeTimeout   = 2 * time.Second
	DefaultConnectTimeout = 5 * time.Second
	DefaultMaxMessageSize = 256 << 20

	defaultCallTimeout = 10 * time.Second
)

// What AMQP has 16 bits for.
const (
	maxHeartbeat = math.MaxUint16 * time.Second
	maxPrefetch  = math.MaxUint16
)

func (p Plan) withDefaults() Plan {
	fill := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	fill(&p.DrainTimeout, DefaultDrainTimeout)
	fill(&p.ProbeTimeout, DefaultProbeTimeout)
	connectTimeout := DefaultConnectTimeout
	for _, e := range p.Endpoints {
		connectTimeout = max(connectTimeout, e.connectionTimeout)
	}
	fill(&p.ConnectTimeout, connectTimeout)
	fill(&p.CallTimeout, defaultCallTimeout)
	if p.MaxMessageSize == 0 {
		p.MaxMessageSize = DefaultMaxMessageSize
	}
	if p.Dial == nil {
		p.Dial = (&net.Dialer{}).DialContext
		if p.resolver == nil {
			p.resolver = systemResolver
		}
	}
	return p
}

// Validate joins all problems of the plan; each names its field.
func (p Plan) Validate() error {
	var problems []error
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf("broker: "+format, args...)) }
	if len(p.Endpoints) == 0 {
		report("Endpoints: at least one is needed")
	}
	for i, e := range p.Endpoints {
		if e.host == "" {
			report("Endpoints[%d]: empty; make it with ParseEndpoint", i)
		}
	}
	if err := CheckName(p.Name); err != nil {
		report("Name: %w", err)
	}
	if p.Heartbeat != 0 && (p.Heartbeat < time.Second || p.Heartbeat > maxHeartbeat || p.Heartbeat%time.Second != 0) {
		report("Heartbeat: %v is not a whole number of seconds from 1s to %.0fs", p.Heartbeat, maxHeartbeat.Seconds())
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"DrainTimeout", p.DrainTimeout}, {"ProbeTimeout", p.ProbeTimeout},
		{"ConnectTimeout", p.ConnectTimeout}, {"CallTimeout", p.CallTimeout},
	} {
		if d.value != 0 && (d.value < time.Millisecond || d.value > time.Hour) {
			report("%s: %v is not between 1ms and 1h", d.field, d.value)
		}
	}
	if p.MaxMessageSize < 0 {
		report("MaxMessageSize: %d is negative", p.MaxMessageSize)
	}
	for i, s := range p.Subscriptions {
		for _, err := range s.problems() {
			report("Subscriptions[%d].%w", i, err)
		}
	}
	return errors.Join(problems...)
}

func (s Subscription) problems() []error {
	var problems []error
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	name := func(field, value string) {
		if err := CheckName(value); err != nil {
			report("%s: %w", field, err)
		}
	}
	arguments := func(field string, value map[string]any, names ...string) {
		for _, problem := range checkArguments(value, names...) {
			report("%s%s", field, problem)
		}
	}
	if s.Queue == "" && s.Declare == nil {
		report("Queue: empty, and no Declare that would let the broker name one")
	}
	if s.Prefetch < 1 || s.Prefetch > maxPrefetch {
		report("Prefetch: %d is not between 1 and %d", s.Prefetch, maxPrefetch)
	}
	name("Queue", s.Queue)
	name("ConsumerTag", s.ConsumerTag)
	arguments("Arguments", s.Arguments)
	if s.Declare != nil {
		for _, problem := range s.Declare.problems() {
			report("Declare.%s", problem)
		}
	}
	for i, x := range s.Exchanges {
		if x.Name == "" || (x.Kind == "" && !x.Passive) {
			report("Exchanges[%d]: a name and a kind are needed", i)
		}
		name(fmt.Sprintf("Exchanges[%d].Name", i), x.Name)
		name(fmt.Sprintf("Exchanges[%d].Kind", i), x.Kind)
		arguments(fmt.Sprintf("Exchanges[%d].Arguments", i), x.Arguments, "alternate-exchange")
	}
	for i, b := range s.Bindings {
		if b.Exchange == "" {
			report("Bindings[%d].Exchange: empty (every queue is bound to the default exchange already)", i)
		}
		name(fmt.Sprintf("Bindings[%d].Exchange", i), b.Exchange)
		name(fmt.Sprintf("Bindings[%d].RoutingKey", i), b.RoutingKey)
		arguments(fmt.Sprintf("Bindings[%d].Arguments", i), b.Arguments)
	}
	return problems
}
