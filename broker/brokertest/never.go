package brokertest

import (
	"fmt"
	"slices"
	"strings"
)

func impossible(what Fault, format string, args ...any) error {
	return fmt.Errorf("brokertest: Inject: %s never happens: %s", what, fmt.Sprintf(format, args...))
}

// mistaken says why a fault cannot be played at a moment, on whatever server; nil if it can.
func mistaken(when Moment, what Fault) error {
	if what.fits != nil {
		if needs := what.fits(when); needs != "" {
			return impossible(what, "it needs %s", needs)
		}
	}
	if why := when.unknown(); why != "" {
		return impossible(what, "%s", why)
	}
	return nil
}

// absent says why a fault cannot be played as things are, now or later; nil if it can. Callers hold mu.
func (s *Server) absent(when Moment, what Fault) error {
	there := func(other func(*connection) bool) bool {
		return slices.ContainsFunc(s.connectionsInOrder(), func(c *connection) bool { return c.stage != ended && other(c) })
	}
	switch {
	case when.on == immediately && when.host != "" && s.hosts[when.host] == nil:
		return impossible(what, "there is no virtual host %q", when.host)
	case when.only > 0 && (when.on == immediately || when.only <= s.lastID) && !there(func(c *connection) bool { return c.id == when.only }):
		return impossible(what, "there is no connection %d", when.only)
	case when.only > 0 && when.on == connecting && when.only <= s.lastID:
		return impossible(what, "connection %d has been accepted already", when.only)
	case when.on == immediately && what.connection != nil && (when.client != "" || when.peer != "") && !there(when.concerns):
		return impossible(what, "there is no such connection")
	}
	return nil
}

// unknown says what a moment is narrowed to that nobody can know when it comes.
func (m Moment) unknown() string {
	beforeLogin := m.on == connecting || m.on == method && slices.Contains([]string{"connection.start", "connection.start-ok"}, m.method)
	beforeOpen := beforeLogin || m.on == method && slices.Contains([]string{"connection.tune", "connection.tune-ok", "connection.open"}, m.method)
	noQueue := beforeOpen || m.on == method && (strings.HasPrefix(m.method, "connection.") || m.method == "channel.open")
	switch {
	case m.client != "" && beforeLogin:
		return "the connection has no name yet"
	case m.host != "" && beforeOpen:
		return "the connection is in no virtual host yet"
	case m.queue != "" && noQueue:
		return "it has to do with no queue"
	case m.again && m.on == immediately:
		return "Now comes once"
	case m.again && (m.on == received || m.on == sent):
		return "bytes come once"
	}
	return ""
}
