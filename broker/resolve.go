package broker

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// lookupEvery is the least time between two lookups of a name.
	lookupEvery = time.Second
	// lookupTimeout is how long one may take. Nobody waits for it longer than for a connection.
	lookupTimeout = 30 * time.Second
)

// resolver looks up host names for all connections of the process, and remembers which addresses have failed.
type resolver struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

	mu    sync.Mutex
	names map[string]*name
}

// name is a host name.
type name struct {
	asked     time.Time
	answered  chan struct{} // closed when addresses and err are there
	addresses []netip.Addr
	err       error
	failed    []netip.Addr // the one that failed last is the last
}

func newResolver(lookup func(context.Context, string, string) ([]netip.Addr, error)) *resolver {
	return &resolver{lookup: lookup, names: map[string]*name{}}
}

var systemResolver = newResolver(net.DefaultResolver.LookupNetIP)

// resolve returns the addresses of a host in the order in which they are to be tried: first those that have not
// failed, IPv6 and IPv4 in turn. It waits for no longer than ctx.
func (r *resolver) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	answered := r.ask(host)
	select {
	case <-answered:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.names[host]
	if n.err != nil {
		return nil, n.err
	}
	addresses := slices.Clone(n.addresses)
	slices.SortStableFunc(addresses, func(a, b netip.Addr) int {
		return slices.Index(n.failed, a) - slices.Index(n.failed, b)
	})
	return addresses, nil
}

// ask begins a lookup unless one is under way, or the answer to the last is fresh.
func (r *resolver) ask(host string) (answered <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.names[host]
	if n == nil {
		n = &name{}
		r.names[host] = n
	}
	if n.answered != nil {
		select {
		case <-n.answered:
			if time.Since(n.asked) < lookupEvery {
				return n.answered
			}
		default:
			return n.answered
		}
	}
	n.asked, n.answered = time.Now(), make(chan struct{})
	go func(answered chan struct{}) {
		ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
		defer cancel()
		addresses, err := r.lookup(ctx, "ip", host)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err == nil && len(addresses) == 0 {
			err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
		}
		n.addresses, n.err = inTurn(addresses), err
		close(answered)
	}(n.answered)
	return n.answered
}

// inTurn alternates between the families, so that one which leads nowhere delays the other only once.
func inTurn(addresses []netip.Addr) (all []netip.Addr) {
	var same, other []netip.Addr // the same family as the first
	for _, a := range addresses {
		if a = a.Unmap(); a.Is4() == addresses[0].Unmap().Is4() {
			same = append(same, a)
		} else {
			other = append(other, a)
		}
	}
	for len(same) > 0 || len(other) > 0 {
		for _, family := range []*[]netip.Addr{&same, &other} {
			if len(*family) == 0 {
				continue
			}
			if a := (*family)[0]; !slices.Contains(all, a) {
				all = append(all, a)
			}
			*family = (*family)[1:]
		}
	}
	return all
}

// fail notes that an address is to be tried last from now on.
func (r *resolver) fail(host string, address netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.names[host]
	if n == nil {
		return
	}
	n.failed = slices.DeleteFunc(n.failed, func(a netip.Addr) bool {
		return a == address || !slices.Contains(n.addresses, a) // or the list would grow for ever
	})
	n.failed = append(n.failed, address)
}
