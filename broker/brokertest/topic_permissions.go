package brokertest

import (
	"slices"
	"strings"

	"github.com/everhop/everhop/broker/internal/versions"
)

// TopicPermissions are what a user may do with the routing keys of a topic exchange, as regular expressions, in which
// {username} and {vhost} stand for the user's and the virtual host's name; "" matches only the empty key. Write is to
// publish with a key, Read to bind with it.
type TopicPermissions struct{ Write, Read string }

// topicExchange is the one for which a user has topic permissions.
type topicExchange struct{ user, host, exchange string }

func (p TopicPermissions) compile(of topicExchange) (grant, error) {
	names := strings.NewReplacer("{username}", of.user, "{vhost}", of.host)
	return Permissions{Write: names.Replace(p.Write), Read: names.Replace(p.Read)}.compile()
}

// SetTopicPermissions has a user use only some routing keys of a topic exchange, as rabbitmqctl set_topic_permissions does.
// Users may use all keys of exchanges for which they have no such permissions. It fails as SetPermissions does; the
// exchange may come later.
func (s *Server) SetTopicPermissions(user, virtualHost, exchange string, p TopicPermissions) error {
	return s.changePermissions(user, virtualHost, func(host string) error {
		of := topicExchange{user, host, exchange}
		g, err := p.compile(of)
		if err == nil {
			s.topics[of] = g
		}
		return err
	})
}

// ClearTopicPermissions ends SetTopicPermissions: the user may use all keys of the exchange. It fails as SetPermissions does.
func (s *Server) ClearTopicPermissions(user, virtualHost, exchange string) error {
	return s.changePermissions(user, virtualHost, func(host string) error {
		delete(s.topics, topicExchange{user, host, exchange})
		return nil
	})
}

// mayUse refuses a routing key of a topic exchange that the user has no permission for.
func (ch *channel) mayUse(a access, x *exchange, key string) error {
	c := ch.connection
	if x.kind != "topic" || len(c.server.topics) == 0 {
		return nil
	}
	g, restricted := c.server.topics[topicExchange{c.user, c.host.name, x.name}]
	if !restricted || g[a].MatchString(key) {
		return nil
	}
	return refuse(accessRefused, "%saccess to topic '%s' in exchange '%s' in vhost '%s' refused for user '%s'",
		c.server.named(a), key, x.name, c.host.name, c.user)
}

// mayCopy is about the further keys that a message is routed with, which some versions do not look at.
func (ch *channel) mayCopy(x *exchange, m *message) error {
	if len(m.cc)+len(m.bcc) == 0 || !ch.connection.server.has(versions.AsksForCopies) {
		return nil
	}
	for _, key := range slices.Concat(m.cc, m.bcc) {
		if err := ch.mayUse(write, x, key); err != nil {
			return err
		}
	}
	return nil
}

// named is which access is refused, as far as the version says it.
func (s *Server) named(a access) string {
	if s.has(versions.NamesAccess) {
		return a.String() + " "
	}
	return ""
}
