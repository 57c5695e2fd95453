package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// missedBeats is after how many heartbeats that did not come the connection is given up. RabbitMQ sends
	// one at least every half of the interval.
	missedBeats = 3
	// writeTimeout is the least time after which a write that the broker does not take breaks the
	// connection. Whether the broker lives is for the probe to find out; this only ends the write.
	writeTimeout = 5 * time.Second
)

// link is an AMQP connection after open-ok, and the socket under it.
type link struct {
	target
	conn  *conn
	demux *demux
	amqp  *amqp.Connection
}

// openChannel opens a channel whose messages come by the route.
func (l *link) openChannel(r *route) (channel *amqp.Channel, err error) {
	err = l.demux.open(r, func() (err error) {
		channel, err = l.amqp.Channel()
		return err
	})
	return channel, err
}

// openPlain opens a channel on which nothing is consumed. It has its turn as any other: the route of one that is being
// opened at the same time is not its own.
func (l *link) openPlain() (*amqp.Channel, error) { return l.openChannel(&route{none: true}) }

func (l *link) abort() {
	l.conn.abort()
	// amqp091-go notices through its reader; if that is stuck handing over an answer that nobody
	// waits for, only this ends it. It sends nothing, for want of a deadline that it could set.
	_ = l.amqp.CloseDeadline(time.Now())
}

// attempt is one target on the way to a link, or an endpoint to its addresses.
type attempt struct {
	plan     *Plan
	target   target
	resolves bool                            // it asks for the addresses
	step     atomic.Value                    // string: what is being done
	heard    atomic.Pointer[<-chan struct{}] // closed by the first byte that comes in

	// The race's own.
	number   int
	cancel   context.CancelFunc
	replaced bool // by a newer one
}

func newAttempt(p *Plan, t target) *attempt {
	a := &attempt{plan: p, target: t, resolves: p.resolves(t)}
	a.step.Store("connect") // it may take a while until its goroutine runs
	return a
}

// resolves tells whether the addresses of a host name are to be looked up.
func (p *Plan) resolves(t target) bool {
	if p.resolver == nil || t.address.IsValid() {
		return false
	}
	_, err := netip.ParseAddr(t.endpoint.host)
	return err != nil
}

func (a *attempt) run(ctx context.Context) outcome {
	o := outcome{attempt: a}
	var err error
	if a.resolves {
		a.step.Store("resolve")
		o.addresses, err = a.plan.resolver.resolve(ctx, a.target.endpoint.host)
	} else {
		o.link, err = a.handshake(ctx)
	}
	if err != nil {
		o.err = a.failed(ctx, err)
	}
	return o
}

// failed says in which step, and if ctx has ended why that has.
func (a *attempt) failed(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	e := a.target.newError(a.step.Load().(string), ScopeConnection, "", err)
	if errors.Is(err, errConnectTimeout) {
		e.Address = "" // it was not the only one
	}
	return e
}

// hears tells whether a byte has come in.
func (a *attempt) hears() bool {
	heard := a.heard.Load()
	if heard == nil {
		return false
	}
	select {
	case <-*heard:
		return true
	default:
		return false
	}
}

// handshake dials the target and opens AMQP on it.
func (a *attempt) handshake(ctx context.Context) (*link, error) {
	p, e := a.plan, a.target.endpoint
	a.step.Store("credentials")
	credentials, err := p.credentials(ctx, e)
	if err != nil {
		return nil, err
	}
	var config *tls.Config
	if e.tls {
		a.step.Store("TLS configuration")
		if config, err = p.tlsConfig(ctx, e); err != nil {
			return nil, err
		}
	}
	a.step.Store("dial")
	raw, err := p.dial(ctx, a.target.String())
	if err != nil {
		return nil, err
	}
	socket := newConn(raw, max(writeTimeout, p.DrainTimeout+p.ProbeTimeout))
	heard := socket.arrived()
	a.heard.Store(&heard)
	stop := context.AfterFunc(ctx, socket.abort)
	transport := net.Conn(socket)
	if config != nil {
		a.step.Store("TLS handshake")
		if transport, err = secure(ctx, socket, config); err != nil {
			stop()
			socket.abort()
			return nil, err
		}
	}
	a.step.Store("open")
	demux := newDemux(transport)
	connection, err := amqp.Open(demux, p.config(e, credentials))
	l := &link{target: a.target, conn: socket, demux: demux, amqp: connection}
	if !stop() && err == nil {
		err = context.Cause(ctx) // the socket is being aborted under a connection that just opened
	}
	if err != nil {
		broken := socket.firstError() // before the abort, which is one too
		l.abort()
		var reply *amqp.Error
		if fromBroker := errors.As(err, &reply) && reply.Server; broken != nil && !fromBroker {
			err = broken // what amqp091-go calls "username or password not allowed" was the socket
		}
		if other := otherProtocol(byte(socket.first.Load())); other != nil && config == nil && ctx.Err() == nil {
			err = other
		}
		return nil, err
	}
	socket.expectBytes(missedBeats * connection.Config.Heartbeat / 2)
	return l, nil
}

// config leaves amqp091-go's own Recovery off: it would acknowledge the delivery tags of one connection
// on the next.
func (p *Plan) config(e Endpoint, c Credentials) amqp.Config {
	properties := p.properties()
	return amqp.Config{
		SASL:       []amqp.Authentication{newLogin(e, c, properties)},
		Vhost:      e.vhost,
		Heartbeat:  cmp.Or(p.Heartbeat, e.heartbeat, DefaultHeartbeat),
		ChannelMax: e.channelMax,
		Locale:     "en_US",
		Properties: properties,
	}
}
