package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/everhop/everhop/broker"
)

// names are the addresses of the endpoint's host.
func (c *clinic) names(ctx context.Context, e broker.Endpoint) []string {
	if _, err := netip.ParseAddr(e.Host()); err == nil {
		c.ok("name", e.String(), "an address, no name to look up")
		return []string{e.Host()}
	}
	ctx, cancel := c.step(ctx)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, e.Host())
	if err != nil || len(addresses) == 0 {
		text, advice := unresolved(e.Host(), err)
		c.broken("name", e.String(), text, advice)
		return nil
	}
	c.ok("name", e.String(), "%s is %s", e.Host(), strings.Join(addresses, ", "))
	return addresses
}

// unresolved says why a name has no address.
func unresolved(host string, err error) (text, advice string) {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("no address is known for the name %q", host), broker.HintName
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no name server answered about %q in time", host), "look at /etc/resolv.conf, and whether the name servers there can be reached"
	}
	return fmt.Sprintf("the name %q cannot be looked up: %v", host, err), broker.HintName
}

// ports are those of the addresses on which somebody listens.
func (c *clinic) ports(ctx context.Context, e broker.Endpoint, addresses []string) (open []string) {
	var failed []string
	var last error
	for _, address := range addresses {
		conn, err := c.dial(ctx, e, address)
		if err != nil {
			failed, last = append(failed, fmt.Sprintf("%s (%v)", address, reason(err))), err
			continue
		}
		_ = conn.Close()
		open = append(open, address)
	}
	switch {
	case len(open) == 0:
		c.broken("port", e.String(), "nobody can be reached at "+strings.Join(failed, ", "), unreachable(e, last))
	case len(failed) > 0:
		c.warn("port", e.String(), "open at "+strings.Join(open, ", ")+", but not at "+strings.Join(failed, ", "),
			"connecting takes longer while an address does not answer: take it off the name, or have the broker listen there")
	default:
		c.ok("port", e.String(), "open at %s", strings.Join(open, ", "))
	}
	return open
}

func (c *clinic) dial(ctx context.Context, e broker.Endpoint, address string) (net.Conn, error) {
	ctx, cancel := c.step(ctx)
	defer cancel()
	return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(address, e.Port()))
}

// unreachable says what to do about a port that cannot be dialed.
func unreachable(e broker.Endpoint, err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		usual := "5672"
		if e.HasTLS() {
			usual = "5671"
		}
		return fmt.Sprintf("start the broker, or correct the port: RabbitMQ's usual one for this URL is %s, and it is %s here (rabbitmq-diagnostics listeners)", usual, e.Port())
	case isTimeout(err):
		return "packets get lost: look at firewalls, security groups and the route to that address"
	}
	return "look at the route to that address, and at firewalls"
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}

// reason is what is behind package net's words.
func reason(err error) error {
	var op *net.OpError
	switch {
	case isTimeout(err):
		return errors.New("no answer in time")
	case errors.As(err, &op) && op.Err != nil:
		err = op.Err
	}
	var call syscall.Errno
	if errors.As(err, &call) {
		return call
	}
	return err
}
