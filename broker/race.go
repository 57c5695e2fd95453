package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

const (
	// stagger is how long an endpoint may keep silent before the next one is tried beside it: long
	// enough that a healthy endpoint answers alone, short enough that nobody waits for a dead one.
	stagger = 300 * time.Millisecond
	// lap is the pause before all endpoints are dialed once more while one still keeps silent, doubled
	// each time up to maxLap. A connection request that was lost is sent again by the kernel after 1, 3,
	// 7 s, and to a broker that thawed meanwhile a new one is faster.
	lap        = time.Second
	lapDoubles = 2
	maxLap     = lap << lapDoubles
	// maxDials is how many dials of one target may be under way, so that a slow broker is not drowned in them: the
	// first has all the time that there is; the other finds out whether a new one fares better, and makes room
	// for a newer one if it has heard nothing.
	maxDials = 2
)

// target is what is dialed: an endpoint, or one of the addresses that its host name has.
type target struct {
	endpoint Endpoint
	address  netip.Addr // not valid: the host as the endpoint has it
}

// String is what Dial gets.
func (t target) String() string {
	if !t.address.IsValid() {
		return t.endpoint.String()
	}
	return net.JoinHostPort(t.address.String(), strconv.Itoa(t.endpoint.port))
}

// newError says at which address the connection failed.
func (t target) newError(op string, scope Scope, queue string, err error) *Error {
	e := newError(op, scope, t.endpoint, queue, err)
	if scope == ScopeConnection && t.address.IsValid() {
		e.Address = t.address.String()
	}
	return e
}

// race is one try to connect: targets are dialed one after the other; the next one when one has failed, or kept
// silent for a while. The first to complete the handshake wins, the others are aborted. Each endpoint has its turn
// before any has another one, for the next of its addresses.
type race struct {
	plan     *Plan
	ctx      context.Context
	first    int // of the endpoints
	outcomes chan outcome
	over     chan struct{}

	queue    []target // what is left of this lap
	laps     int
	began    []*attempt
	running  map[target][]*attempt
	pending  int // how many outcomes are to come
	failures []error
}

// outcome is what became of an attempt: a link, an error, or to begin with the addresses of the endpoint.
type outcome struct {
	attempt   *attempt
	link      *link
	err       error
	addresses []netip.Addr
}

// connect races the endpoints, from first on.
func (p *Plan) connect(ctx context.Context, first int) (*link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.ConnectTimeout, errConnectTimeout)
	r := &race{
		plan: p, ctx: ctx, first: first,
		outcomes: make(chan outcome), over: make(chan struct{}), running: map[target][]*attempt{},
	}
	// The losers clean up after themselves as soon as they notice. Nobody waits for that.
	defer close(r.over)
	defer cancel()

	r.next()
	timer := time.NewTimer(r.pause())
	defer timer.Stop()
	for r.pending > 0 {
		select {
		case o := <-r.outcomes:
			r.leave(o.attempt)
			switch {
			case o.link != nil:
				r.won(o.attempt)
				return o.link, nil
			case o.err != nil:
				if !r.failed(o) {
					continue
				}
				r.next()
			case !r.found(o):
				continue
			}
		case <-timer.C:
			r.next()
		case <-ctx.Done():
			return nil, p.connectError(append(r.failures, r.began[0].failed(ctx, nil)))
		}
		timer.Reset(r.pause())
	}
	return nil, p.connectError(r.failures)
}

// next begins with the next target that may be dialed.
func (r *race) next() {
	if len(r.queue) == 0 {
		r.laps++
		for i := range r.plan.Endpoints {
			r.queue = append(r.queue, target{endpoint: r.plan.Endpoints[(r.first+i)%len(r.plan.Endpoints)]})
		}
	}
	for len(r.queue) > 0 {
		t := r.queue[0]
		r.queue = r.queue[1:]
		if r.begin(t) {
			return
		}
	}
}

// pause is the time before the next one begins if nothing comes of those that have begun.
func (r *race) pause() time.Duration {
	if len(r.queue) > 0 {
		return stagger
	}
	return lap << min(r.laps-1, lapDoubles)
}

// begin tries a target, unless that is being done already.
func (r *race) begin(t target) bool {
	a := newAttempt(r.plan, t)
	running := r.running[t]
	switch {
	case a.resolves && len(running) > 0:
		return false
	case len(running) >= maxDials:
		newest := running[len(running)-1]
		if newest.replaced || newest.hears() {
			return false // one that hears something is slow, and one more would make it slower
		}
		newest.replaced = true
		newest.cancel() // failed goes on, so that there are never three
		return true
	}
	var ctx context.Context
	if timeout := t.endpoint.connectionTimeout; timeout > 0 && !a.resolves {
		ctx, a.cancel = context.WithTimeoutCause(r.ctx, timeout, fmt.Errorf("%w (connection_timeout: %v)", errConnectionTimeout, timeout))
	} else {
		ctx, a.cancel = context.WithCancel(r.ctx)
	}
	a.number = len(r.began)
	r.began = append(r.began, a)
	r.running[t] = append(r.running[t], a)
	r.pending++
	go func() {
		defer a.cancel()
		o := a.run(ctx)
		select {
		case r.outcomes <- o:
		case <-r.over:
			if o.link != nil {
				o.link.abort()
			}
		}
	}()
	return true
}

func (r *race) leave(a *attempt) {
	r.running[a.target] = slices.DeleteFunc(r.running[a.target], func(b *attempt) bool { return b == a })
}

// failed tells whether to go on with the next one at once. When all have been tried, others may still be running.
func (r *race) failed(o outcome) bool {
	r.pending--
	if o.attempt.replaced && r.ctx.Err() == nil {
		r.begin(o.attempt.target)
		return false
	}
	r.failures = append(r.failures, o.err)
	if r.ctx.Err() != nil {
		return false
	}
	r.plan.blame(o.attempt.target)
	return len(r.queue) > 0
}

// found goes on with the first address of an endpoint; the others have their turns later. It tells whether there
// is something new to wait for.
func (r *race) found(o outcome) bool {
	r.pending--
	idle := len(r.queue) == 0
	for i, address := range o.addresses {
		t := target{o.attempt.target.endpoint, address}
		if i == 0 {
			r.begin(t)
		} else {
			r.queue = append(r.queue, t)
		}
	}
	return idle && len(r.queue) > 0
}

// won blames the addresses which the winner has overtaken: the next time it is tried before them.
func (r *race) won(winner *attempt) {
	for t, attempts := range r.running {
		if len(attempts) > 0 && t != winner.target && t.endpoint == winner.target.endpoint && attempts[0].number < winner.number {
			r.plan.blame(t)
		}
	}
}

// blame has an address tried last from now on.
func (p *Plan) blame(t target) {
	if t.address.IsValid() {
		p.resolver.fail(t.endpoint.host, t.address)
	}
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
