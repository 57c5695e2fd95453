package brokertest

import (
	"bytes"
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// serverProperties say what this is, and which of RabbitMQ's extensions it has.
func (s *Server) serverProperties() wire.Table {
	return wire.Table{
		"product":     s.product,
		"information": "A broker for tests. It keeps nothing and guards nothing.",
		"platform":    "Go",
		"version":     s.version + ".0", // whose behaviour it shows
		"capabilities": wire.Table{
			"authentication_failure_close": true,
			"basic.nack":                   true,
			"connection.blocked":           true,
			"consumer_cancel_notify":       true,
			"consumer_priorities":          true,
			"direct_reply_to":              true,
			"exchange_exchange_bindings":   true,
			"per_consumer_qos":             true,
			"publisher_confirms":           true,
		},
	}
}

// handle answers a method of the connection itself.
func (c *connection) handle(m wire.Method) error {
	switch m.(type) {
	case *wire.ConnectionCloseOK:
		if c.stage == closing {
			c.out.finish()
			c.stage = ended
		}
		return nil
	case *wire.ConnectionClose:
		c.terminate()
		c.send(0, &wire.ConnectionCloseOK{})
		c.stage = ended
		c.wait(closeTimeout) // the socket is the client's to close
		return nil
	}
	switch c.stage {
	case closing:
		return nil
	case opened:
		return c.administer(m)
	}
	switch m := m.(type) {
	case *wire.ConnectionStartOK:
		if c.stage == waitStartOK {
			return c.login(m)
		}
	case *wire.ConnectionTuneOK:
		if c.stage == waitTuneOK {
			return c.tune(m)
		}
	case *wire.ConnectionOpen:
		if c.stage == waitOpen {
			return c.open(m)
		}
	}
	c.dropSilently()
	return nil
}

// login checks the credentials. Whom RabbitMQ refuses, it tells only if the client can take it; others
// find the socket closed.
func (c *connection) login(m *wire.ConnectionStartOK) error {
	c.client = m.ClientProperties
	user, ok, genuine := c.authenticate(m)
	switch {
	case genuine:
	case ok && c.can("authentication_failure_close"):
		c.close(refuse(accessRefused, "Login was refused using authentication mechanism %s. For details see the broker logfile.", m.Mechanism), 0, 0)
		return nil
	default:
		c.dropSilently()
		return nil
	}
	c.user = user
	c.stage = waitTuneOK
	c.send(0, &wire.ConnectionTune{
		ChannelMax: c.server.channelMax, FrameMax: c.server.frameMax, Heartbeat: uint16(c.server.heartbeat / time.Second),
	})
	return nil
}

// authenticate tells who the client says to be, whether that could be read, and whether it is true.
func (c *connection) authenticate(m *wire.ConnectionStartOK) (user string, ok, genuine bool) {
	s := c.server
	switch {
	case m.Mechanism == "EXTERNAL" && s.authority != nil:
		user = c.socket.certified()
	case m.Mechanism == "ANONYMOUS" && s.has(versions.Anonymous):
		user = "guest"
	default:
		user, password, ok := credentials(m)
		return user, ok, ok && s.isPassword(user, password)
	}
	_, known := s.users[user]
	return user, true, known
}

// credentials reads the response of the mechanisms that have a password.
func credentials(m *wire.ConnectionStartOK) (user, password string, ok bool) {
	switch m.Mechanism {
	case "PLAIN":
		if parts := bytes.Split(m.Response, []byte{0}); len(parts) == 3 {
			return string(parts[1]), string(parts[2]), true
		}
	case "AMQPLAIN":
		if table, err := wire.ParseTable(m.Response); err == nil {
			user, named := table["LOGIN"].(string)
			password, given := table["PASSWORD"].(string)
			return user, password, named && given
		}
	}
	return "", "", false
}

// can tells whether the client has announced a capability.
func (c *connection) can(capability string) bool {
	capabilities, _ := c.client["capabilities"].(wire.Table)
	able, _ := capabilities[capability].(bool)
	return able
}

func (c *connection) tune(m *wire.ConnectionTuneOK) error {
	if m.FrameMax < c.server.minFrame() || m.FrameMax > c.server.frameMax || m.ChannelMax == 0 || m.ChannelMax > c.server.channelMax {
		c.dropSilently()
		return nil
	}
	c.channelMax, c.frameMax = m.ChannelMax, m.FrameMax
	c.heartbeat = time.Duration(m.Heartbeat) * time.Second
	c.frames.SetLimit(m.FrameMax)
	if c.heartbeat > 0 {
		c.server.routines.Go(func() { c.beat(c.heartbeat) })
	}
	c.stage = waitOpen
	return nil
}

func (c *connection) open(m *wire.ConnectionOpen) error {
	host := c.server.hosts[m.VirtualHost]
	if host == nil {
		return refuse(notAllowed, "vhost %s not found", m.VirtualHost)
	}
	if !c.server.admits(c.user, host.name) {
		return refuse(notAllowed, "access to vhost '%s' refused for user '%s'", host.name, c.user)
	}
	c.host = host
	c.stage = opened
	c.patience.Stop()
	c.send(0, &wire.ConnectionOpenOK{})
	return nil
}

// administer answers what may come on channel 0 once the connection is open.
func (c *connection) administer(m wire.Method) error {
	if _, ok := m.(*wire.ConnectionUpdateSecret); ok { // RabbitMQ's own users have nothing that expires
		c.send(0, &wire.ConnectionUpdateSecretOK{})
		return nil
	}
	return refuse(channelError, "unexpected method in connection state running")
}

// beat sends heartbeats and drops the client when it is silent, both as RabbitMQ does: what counts is the
// number of bytes at each tick. A heartbeat goes out when nothing else did for half the interval; a
// client that sent nothing through two ticks of the interval is gone.
func (c *connection) beat(interval time.Duration) {
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	var sent, received uint64
	same := 0
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-c.done:
			return
		}
		now := c.socket.sent.Load()
		if now == sent && !c.isMute() {
			c.out.heartbeat()
			now += wire.FrameOverhead // what it comes to; else it would pass for something else
		}
		sent = now
		if n%2 != 0 || c.isBlocked() {
			continue
		}
		switch now := c.socket.received.Load(); {
		case now != received:
			received, same = now, 0
		case same == 0:
			same++
		default:
			c.socket.reset() // without a word, as RabbitMQ does
			return
		}
	}
}

func (c *connection) isMute() bool {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return c.mute
}
