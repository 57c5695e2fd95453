package brokertest

import (
	"cmp"

	"github.com/everhop/everhop/broker/internal/wire"
)

// Alarm is what a RabbitMQ does that is out of memory or disk: connections that publish from now on are
// told with connection.blocked and not read until ClearAlarm. Others notice nothing. The reason that
// RabbitMQ gives is "low on memory", which is the default here, or "low on disk".
func (s *Server) Alarm(reason string) {
	s.mu.Lock()
	defer s.unlock()
	s.alarm = cmp.Or(reason, "low on memory")
}

// ClearAlarm ends Alarm.
func (s *Server) ClearAlarm() {
	s.mu.Lock()
	defer s.unlock()
	s.alarm = ""
	for _, c := range s.connectionsInOrder() {
		c.unblock()
	}
}

// block tells the client, and stops reading from it.
func (c *connection) block(reason string) {
	if c.unblocked != nil || c.stage != opened {
		return
	}
	c.unblocked = make(chan struct{})
	if c.can("connection.blocked") {
		c.send(0, &wire.ConnectionBlocked{Reason: reason})
	}
}

func (c *connection) unblock() {
	if c.unblocked == nil {
		return
	}
	close(c.unblocked)
	c.unblocked = nil
	if c.can("connection.blocked") {
		c.send(0, &wire.ConnectionUnblocked{})
	}
}

// listen waits until the client is listened to: it is neither frozen nor blocked. The beginning of a
// message is what blocks it while there is an alarm. It returns with the server's mu held; false when the
// connection has ended instead.
func (c *connection) listen(f wire.Frame) bool {
	for {
		c.server.mu.Lock()
		if c.server.alarm != "" && f.Type == wire.FrameHeader {
			c.block(c.server.alarm)
		}
		unblocked, frozen := c.unblocked, c.socket.isFrozen(FromClient)
		switch {
		case c.stage == ended, c.socket.isClosed():
			return false
		case !frozen && unblocked == nil:
			return true
		}
		c.server.unlock()
		if frozen {
			c.socket.waitUntilThawed()
			continue
		}
		select {
		case <-unblocked:
		case <-c.socket.done:
		}
	}
}

func (c *connection) isBlocked() bool {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return c.unblocked != nil
}
