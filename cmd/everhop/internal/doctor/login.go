package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"time"

	"github.com/everhop/everhop/broker"
)

// login opens a connection; if it cannot, it says at which check it stopped.
func (c *clinic) login(ctx context.Context, e broker.Endpoint) (s *broker.Session, at string) {
	begin := time.Now()
	s, err := broker.Open(ctx, c.plan(e), 1, 0)
	if err == nil {
		c.ok("login", e.String(), "as %s, in %v", orCertificate(e.User()), time.Since(begin).Round(time.Millisecond))
		c.ok("vhost", e.String(), "%q is open", e.VHost())
		return s, ""
	}
	class, _ := broker.Classify(err)
	text := said(err)
	switch class {
	case broker.Auth:
		advice := "check user name and password (rabbitmqctl authenticate_user); characters such as @ / : in them must be percent-encoded in the URL"
		if e.User() == "guest" && !isLocal(e.Host()) {
			advice = "guest may log in on the broker's own machine only: make another user (rabbitmqctl add_user, set_permissions), or check the password"
		}
		c.broken("login", e.String(), fmt.Sprintf("%s is not let in: %s", orCertificate(e.User()), text), advice)
		return nil, "login"
	case broker.VHost:
		c.ok("login", e.String(), "as %s", orCertificate(e.User()))
		c.broken("vhost", e.String(), fmt.Sprintf("%q: %s", e.VHost(), text), fmt.Sprintf(
			"create it, or let the user in: rabbitmqctl add_vhost '%s', rabbitmqctl set_permissions -p '%[1]s' %s '.*' '.*' '.*'; a / in it is %%2F in the URL", e.VHost(), e.User()))
		return nil, "vhost"
	case broker.Resource:
		c.broken("login", e.String(), text, "a limit of connections is reached: end some, or raise it (rabbitmqctl set_user_limits, set_vhost_limits)")
	case broker.BrokerShutdown:
		c.broken("login", e.String(), text, "the broker is stopping, or not up yet: wait, and look at its log")
	case broker.Heartbeat:
		c.broken("login", e.String(), text, "the broker hangs, or what is between swallows its answers: look at its log and load, and at proxies")
	case broker.TLS:
		c.broken("login", e.String(), text, "if the broker wants a client's certificate, name one with certfile and keyfile in the URL")
	default:
		c.broken("login", e.String(), text, "look at the broker's log for the reason, and at its load")
	}
	return nil, "login"
}

func orCertificate(user string) string {
	if user == "" {
		return "whom the certificate names"
	}
	return user
}

func isLocal(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && net.IP(address.AsSlice()).IsLoopback()
}

// said is an error in as few words as say all.
func said(err error) string {
	var e *broker.Error
	if errors.As(err, &e) {
		return e.Reason()
	}
	return err.Error()
}

// delayed is a queue of which consumers have some for what they delay.
const delayed = ".retry.1000"

// permissions are asked for by what cannot be done anyway, so that nothing is changed.
func (c *clinic) permissions(ctx context.Context, s *broker.Session) {
	e := s.Endpoint()
	grant := func(kind, pattern string) string {
		return fmt.Sprintf("let the user %s %s: rabbitmqctl list_permissions -p '%s' shows what it has, set_permissions changes it (configure, write, read)", kind, pattern, e.VHost())
	}
	if c.Queue == "" {
		c.skip("permissions", "", "no --queue is named: they go by the names of queues")
		return
	}
	type ask struct {
		what, kind, queue string
		may               func(context.Context, string) error
		without           Status
	}
	asks := []ask{
		{"consume", "read", c.Queue, s.MayRead, Broken},
		{"declare", "configure", c.Queue, s.MayConfigure, Warning},
		{"park", "configure", c.Queue + ".parked", s.MayConfigure, Broken},
		{"delay", "configure", c.Queue + delayed, s.MayConfigure, Warning},
		{"delay", "read", c.Queue + delayed, s.MayRead, Warning},
	}
	if broker.CheckName(c.Queue+delayed) != nil { // consumers have others then
		asks = asks[:2]
	}
	var granted []string
	for _, a := range asks {
		err := a.may(ctx, a.queue)
		class, _ := broker.Classify(err)
		switch {
		case err == nil:
			granted = append(granted, a.kind+" "+a.queue)
		case class == broker.Auth && a.what == "park" && c.exists(ctx, s, a.queue):
			granted = append(granted, "use "+a.queue)
		case class == broker.Auth:
			c.add(Finding{"permissions", c.Queue, a.without,
				fmt.Sprintf("to %s, %s may not %s %s", a.what, orCertificate(e.User()), a.kind, a.queue),
				grant(a.kind, "^"+regexp.QuoteMeta(a.queue)+"$") + map[string]string{"declare": "; it is needed with --declare only", "delay": "; it is needed for RetryAfter only"}[a.what]})
		default:
			c.broken("permissions", c.Queue, fmt.Sprintf("whether %s may %s %s cannot be asked: %s", orCertificate(e.User()), a.kind, a.queue, said(err)), "look at the broker's log, and try again")
			return
		}
	}
	if len(granted) == len(asks) {
		c.ok("permissions", c.Queue, "%s may consume, declare, park and delay", orCertificate(e.User()))
	}
}

func (c *clinic) exists(ctx context.Context, s *broker.Session, queue string) bool {
	_, err := s.QueueLength(ctx, queue)
	class, _ := broker.Classify(err)
	return err == nil || class == broker.Exclusive
}
