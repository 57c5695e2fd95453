package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	// stagger is how long an endpoint may keep silent before the next one is tried beside it: long
	// enough that a healthy endpoint answers alone, short enough that nobody waits for a dead one.
	stagger = 300 * time.Millisecond
	// lap is the pause before all endpoints are dialed once more while one still keeps silent, doubled
	// each time up to maxLap. A connection request that was lost is sent again by the kernel after 1, 3,
	// 7 s, and to a broker that thawed meanwhile a new one is faster; doubling keeps a slow broker from
	// being drowned in requests.
	lap        = time.Second
	lapDoubles = 2
	maxLap     = lap << lapDoubles
	// missedBeats is after how many heartbeats that did not come the connection is given up. RabbitMQ sends
	// one at least every half of the interval.
	missedBeats = 3
	// writeTimeout is the least time after which a write that the broker does not take breaks the
	// connection. Whether the broker lives is for the probe to find out; this only ends the write.
	writeTimeout = 5 * time.Second
)

// link is an AMQP connection after open-ok, and the socket under it.
type link struct {
	endpoint Endpoint
	conn     *conn
	demux    *demux
	amqp     *amqp.Connection
}

// openChannel opens a channel whose messages come by the route.
func (l *link) openChannel(r *route) (channel *amqp.Channel, err error) {
	err = l.demux.open(r, func() (err error) {
		channel, err = l.amqp.Channel()
		return err
	})
	return channel, err
}

func (l *link) abort() {
	l.conn.abort()
	// amqp091-go notices through its reader; if that is stuck handing over an answer that nobody
	// waits for, only this ends it. It sends nothing, for want of a deadline that it could set.
	_ = l.amqp.CloseDeadline(time.Now())
}

// connect races the endpoints from first on: the next one starts when one failed, or kept silent for
// a while; the first to complete the handshake wins, the others are aborted.
func (p *Plan) connect(ctx context.Context, first int) (*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.ConnectTimeout, errConnectTimeout)
	type result struct {
		link *link
		err  error
	}
	results := make(chan result)
	over := make(chan struct{})
	var attempts []*attempt
	pending := 0
	start := func() {
		a := newAttempt(p, p.Endpoints[(first+len(attempts))%len(p.Endpoints)])
		attempts = append(attempts, a)
		pending++
		go func() {
			l, err := a.connect(ctx)
			select {
			case results <- result{l, err}:
			case <-over:
				if l != nil {
					l.abort()
				}
			}
		}()
	}
	// The losers clean up after themselves as soon as they notice. Nobody waits for that.
	defer close(over)
	defer cancel()

	var failures []error
	start()
	next := time.NewTimer(p.pause(len(attempts)))
	defer next.Stop()
	for pending > 0 {
		select {
		case r := <-results:
			pending--
			if r.err == nil {
				return r.link, nil
			}
			failures = append(failures, r.err)
			if len(attempts) >= len(p.Endpoints) || ctx.Err() != nil {
				continue
			}
		case <-next.C:
		case <-ctx.Done():
			return nil, p.connectError(append(failures, attempts[0].failed(ctx, nil)))
		}
		start()
		next.Reset(p.pause(len(attempts)))
	}
	return nil, p.connectError(failures)
}

// pause is the time before one more dial, after so many.
func (p *Plan) pause(started int) time.Duration {
	if started%len(p.Endpoints) != 0 {
		return stagger
	}
	return lap << min(started/len(p.Endpoints)-1, lapDoubles)
}

// connectError picks the failure to report: one that waiting can heal if there is one, since as long
// as one endpoint may come back it is not time to give up.
func (p *Plan) connectError(failures []error) error {
	var chosen *Error
	for _, err := range failures {
		var e *Error
		if errors.As(err, &e) && (chosen == nil || !chosen.Class.Retryable() && e.Class.Retryable()) {
			chosen = e
		}
	}
	return chosen
}

// attempt is one endpoint on the way to a link.
type attempt struct {
	plan     *Plan
	endpoint Endpoint
	step     atomic.Value // string: what is being done
}

func newAttempt(p *Plan, e Endpoint) *attempt {
	a := &attempt{plan: p, endpoint: e}
	a.step.Store("connect") // it may take a while until its goroutine runs
	return a
}

func (a *attempt) connect(ctx context.Context) (*link, error) {
	l, err := a.handshake(ctx)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return l, nil
}

// failed says in which step, and if ctx has ended why that has.
func (a *attempt) failed(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return newError(a.step.Load().(string), ScopeConnection, a.endpoint, "", err)
}

// handshake dials the endpoint and opens AMQP on it.
func (a *attempt) handshake(ctx context.Context) (*link, error) {
	p, e := a.plan, a.endpoint
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
	raw, err := p.dial(ctx, e)
	if err != nil {
		return nil, err
	}
	socket := newConn(raw, max(writeTimeout, p.DrainTimeout+p.ProbeTimeout))
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
	l := &link{endpoint: e, conn: socket, demux: demux, amqp: connection}
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
		Heartbeat:  p.Heartbeat,
		Locale:     "en_US",
		Properties: properties,
	}
}
