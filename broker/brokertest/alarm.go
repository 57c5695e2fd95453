package brokertest

import (
	"cmp"
	"slices"
	"strings"

	"github.com/everhop/everhop/broker/internal/wire"
)

// Alarm is what a RabbitMQ does that is out of memory or disk: connections that publish from now on are
// told with connection.blocked and not read until ClearAlarm. Others notice nothing. The reason that
// RabbitMQ gives is "low on memory", which is the default here, or "low on disk"; whom it blocks while there are both
// hears "low on disk & memory", and is not told what changes later.
func (s *Server) Alarm(reason string) { s.do(Alarm(reason)) }

// Alarm is the fault that Server.Alarm brings about.
func Alarm(reason string) Fault {
	reason = cmp.Or(reason, lowOn+"memory")
	return Fault{name: "Alarm", broker: func(s *Server) {
		if at, there := slices.BinarySearch(s.alarms, reason); !there {
			s.alarms = slices.Insert(s.alarms, at, reason)
		}
	}}
}

// ClearAlarm ends all alarms.
func (s *Server) ClearAlarm() { s.endAlarms(func(string) bool { return true }) }

// EndAlarm ends the alarm with a reason, "" for low on memory. Connections are read again when there is none left.
func (s *Server) EndAlarm(reason string) {
	reason = cmp.Or(reason, lowOn+"memory")
	s.endAlarms(func(other string) bool { return other == reason })
}

func (s *Server) endAlarms(which func(reason string) bool) {
	s.mu.Lock()
	defer s.unlock()
	s.alarms = slices.DeleteFunc(s.alarms, which)
	if len(s.alarms) > 0 {
		return
	}
	for _, c := range s.connectionsInOrder() {
		c.unblock()
	}
}

const lowOn = "low on "

// alarm is the reason that all alarms come to.
func (s *Server) alarm() string {
	return strings.ReplaceAll(strings.Join(s.alarms, " & "), " & "+lowOn, " & ")
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
		if len(c.server.alarms) > 0 && f.Type == wire.FrameHeader {
			c.block(c.server.alarm())
		}
		unblocked, halted, frozen := c.unblocked, c.halted, c.socket.isFrozen(FromClient)
		switch {
		case c.stage == ended, c.socket.isClosed():
			return false
		case !frozen && unblocked == nil && halted == nil:
			return true
		}
		c.server.unlock()
		if frozen {
			c.socket.waitUntilThawed()
			continue
		}
		if unblocked == nil {
			unblocked = halted
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
	return c.unblocked != nil || c.halted != nil
}
