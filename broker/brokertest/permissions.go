package brokertest

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// Permissions are what a user may do in a virtual host, as regular expressions of the names of queues and exchanges, each
// of which matches anywhere in a name unless it is anchored; "" matches no name. Configure is to declare and delete, Write
// to publish to an exchange and to bind to a queue, Read to consume, to purge and to bind from an exchange. The default
// exchange is called amq.default.
type Permissions struct{ Configure, Write, Read string }

// access is a kind of permission.
type access int

const (
	configure access = iota
	write
	read
)

func (a access) String() string { return [...]string{"configure", "write", "read"}[a] }

// grant is what a user may do in a virtual host.
type grant [3]*regexp.Regexp

func (p Permissions) compile() (g grant, err error) {
	for a, pattern := range [...]string{configure: p.Configure, write: p.Write, read: p.Read} {
		if pattern == "" {
			pattern = "^$"
		}
		compiled, invalid := regexp.Compile(pattern)
		if invalid != nil {
			err = errors.Join(err, fmt.Errorf("brokertest: %s: %w", access(a), invalid))
		}
		g[a] = compiled
	}
	return g, err
}

// SetPermissions gives a user other permissions in a virtual host; "" is the first one. Users have every permission in every
// virtual host until they are given some, or some are taken from them; elsewhere they keep what they have, and have none in
// virtual hosts that come later. It fails with what is no regular expression, when there is no such user or virtual host,
// and when the server is closed. RabbitMQ lets a channel go on for a while with what it was allowed last; here permissions
// come into effect at once.
func (s *Server) SetPermissions(user, virtualHost string, p Permissions) error {
	g, err := p.compile()
	if err != nil {
		return err
	}
	return s.changePermissions(user, virtualHost, func(host string) error {
		s.restrict(user)[host] = g
		return nil
	})
}

// ClearPermissions takes a user's permissions in a virtual host away: connections to come are refused there, and open ones
// may do nothing. It fails as SetPermissions does.
func (s *Server) ClearPermissions(user, virtualHost string) error {
	return s.changePermissions(user, virtualHost, func(host string) error {
		delete(s.restrict(user), host)
		return nil
	})
}

// changePermissions does what an operator does about a user in a virtual host, if both are there.
func (s *Server) changePermissions(user, virtualHost string, change func(host string) error) error {
	s.mu.Lock()
	defer s.unlock()
	host := s.host(virtualHost)
	_, known := s.users[user]
	switch {
	case s.closed:
		return ErrClosed
	case !known:
		return fmt.Errorf("brokertest: there is no user %q", user)
	case host == nil:
		return fmt.Errorf("brokertest: there is no virtual host %q", virtualHost)
	}
	return change(host.name)
}

var everything, _ = Permissions{".*", ".*", ".*"}.compile()

// restrict lists what the user may do in each virtual host.
func (s *Server) restrict(user string) map[string]grant {
	if s.grants[user] == nil {
		for name := range s.hosts {
			s.grantsOf(user)[name] = everything
		}
	}
	return s.grantsOf(user)
}

func (s *Server) grantsOf(user string) map[string]grant {
	if s.grants[user] == nil {
		s.grants[user] = make(map[string]grant)
	}
	return s.grants[user]
}

// grantAll takes over the permissions of a Config.
func (s *Server) grantAll(all map[string]map[string]Permissions) (err error) {
	for user, hosts := range all {
		s.grantsOf(user)
		for host, p := range hosts {
			g, invalid := p.compile()
			if invalid != nil {
				err = errors.Join(err, fmt.Errorf("Config.Permissions of %s in %s: %w", user, host, invalid))
			}
			s.grants[user][host] = g
		}
	}
	return err
}

// DeleteUser deletes a user, and the permissions with it. Connections of that user are closed with 320.
func (s *Server) DeleteUser(user string) { s.do(DeleteUser(user)) }

// DeleteUser is the fault that Server.DeleteUser brings about.
func DeleteUser(user string) Fault {
	return Fault{name: "DeleteUser", broker: func(s *Server) {
		delete(s.users, user)
		delete(s.hashes, user)
		delete(s.grants, user)
		maps.DeleteFunc(s.topics, func(of topicExchange, _ grant) bool { return of.user == user })
		s.closeAll(func(c *connection) bool { return c.user == user }, "user '%s' is deleted", user)
	}}
}

// Users are the names of all users, in alphabetical order.
func (s *Server) Users() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.users))
}

// admits tells whether a user may use a virtual host at all.
func (s *Server) admits(user, host string) bool {
	grants, restricted := s.grants[user]
	_, granted := grants[host]
	return !restricted || granted
}

// may refuses what the user has no permission for.
func (ch *channel) may(a access, kind, name string) error {
	c := ch.connection
	grants, restricted := c.server.grants[c.user]
	if !restricted {
		return nil
	}
	if kind == "exchange" && name == "" {
		name = "amq.default"
	}
	if g, granted := grants[c.host.name]; granted && g[a].MatchString(name) {
		return nil
	}
	return refuse(accessRefused, "%saccess to %s '%s' in vhost '%s' refused for user '%s'", c.server.named(a), kind, name, c.host.name, c.user)
}

// authorize refuses a method that the user has no permission for. What a method is refused for anyway, whoever sends it,
// and before RabbitMQ looks at permissions, it lets pass. A message is looked at in publish.
func (ch *channel) authorize(m wire.Method) error {
	s := ch.connection.server
	if _, restricted := s.grants[ch.connection.user]; !restricted && len(s.topics) == 0 {
		return nil
	}
	switch m := m.(type) {
	case *wire.ExchangeDeclare:
		switch {
		case m.Exchange == "":
			return nil
		case m.Passive:
			return ch.mayLook("exchange", withoutBreaks(m.Exchange))
		}
		return ch.mayDeclare("exchange", withoutBreaks(m.Exchange), m.Arguments, alternateExchange)
	case *wire.ExchangeDelete:
		if m.Exchange != "" && !strings.HasPrefix(m.Exchange, "amq.") {
			return ch.may(configure, "exchange", withoutBreaks(m.Exchange))
		}
	case *wire.ExchangeBind:
		return ch.mayBind(m.Source, "exchange", m.Destination, m.RoutingKey)
	case *wire.ExchangeUnbind:
		return ch.mayBind(m.Source, "exchange", m.Destination, m.RoutingKey)
	case *wire.QueueBind:
		return ch.mayBind(m.Exchange, "queue", ch.meant(m.Queue), ch.bindingKey(m.Queue, m.RoutingKey))
	case *wire.QueueUnbind:
		return ch.mayBind(m.Exchange, "queue", ch.meant(m.Queue), ch.bindingKey(m.Queue, m.RoutingKey))
	case *wire.QueueDeclare:
		if m.Passive {
			return ch.mayLook("queue", withoutBreaks(ch.meant(m.Queue)))
		}
		if name := withoutBreaks(m.Queue); !strings.HasPrefix(name, "amq.") {
			if name == "" {
				name = "amq.gen-" + random() // or one like it
			}
			return ch.mayDeclare("queue", name, m.Arguments, "x-dead-letter-exchange")
		}
	case *wire.QueueDelete:
		return ch.mayQueue(configure, withoutBreaks(ch.meant(m.Queue)))
	case *wire.QueuePurge:
		return ch.mayQueue(read, ch.meant(m.Queue))
	case *wire.BasicGet:
		return ch.mayQueue(read, ch.meant(m.Queue))
	case *wire.BasicConsume:
		return ch.mayQueue(read, ch.meant(m.Queue))
	}
	return nil
}

// meant is the queue that a method is about; "" stands for the one declared last.
func (ch *channel) meant(name string) string {
	if name == "" {
		return ch.lastQueue
	}
	return name
}

// mayQueue lets pass what has no name, and the consumer of direct replies.
func (ch *channel) mayQueue(a access, name string) error {
	if name == "" || name == replyTo {
		return nil
	}
	return ch.may(a, "queue", name)
}

// mayLook is about a passive declaration.
func (ch *channel) mayLook(kind, name string) error {
	if name == "" || !ch.connection.server.has(versions.AsksToLook) {
		return nil
	}
	return ch.may(configure, kind, name)
}

// mayDeclare is also about the exchange that an argument names: what goes there is read here and written there.
func (ch *channel) mayDeclare(kind, name string, arguments wire.Table, exchange string) error {
	if err := ch.may(configure, kind, name); err != nil {
		return err
	}
	to, given := arguments[exchange].(string)
	exists := kind == "queue" && ch.host().queues[name] != nil || kind == "exchange" && ch.host().exchanges[name] != nil
	if !given || exists {
		return nil
	}
	if err := ch.may(read, kind, name); err != nil {
		return err
	}
	return ch.may(write, "exchange", to)
}

// mayBind is also about what ends a binding.
func (ch *channel) mayBind(source, kind, destination, key string) error {
	source, destination = withoutBreaks(source), withoutBreaks(destination)
	if destination == "" {
		return nil
	}
	if err := ch.may(write, kind, destination); err != nil || source == "" {
		return err
	}
	if err := ch.may(read, "exchange", source); err != nil {
		return err
	}
	if x := ch.host().exchanges[source]; x != nil {
		return ch.mayUse(read, x, key)
	}
	return nil
}

// bindingKey is the key of a binding; with no queue and no key it is the name of the queue declared last.
func (ch *channel) bindingKey(queue, key string) string {
	if queue == "" && key == "" {
		return ch.lastQueue
	}
	return key
}
