package brokertest

import (
	"github.com/everhop/everhop/broker/internal/versions"
)

// The methods of Server in this file come into effect at once. Those that are faults have a namesake
// that is one, for Inject to play at its moment.

func (s *Server) do(f Fault) {
	s.mu.Lock()
	defer s.unlock()
	f.broker(s)
}

// RefuseConnections refuses connections to come, as a host does on which no broker runs. Those that
// are open go on.
func (s *Server) RefuseConnections() { s.do(RefuseConnections()) }

// RefuseConnections is the fault that Server.RefuseConnections brings about.
func RefuseConnections() Fault {
	return Fault{name: "RefuseConnections", broker: func(s *Server) {
		s.refusing = true
		s.refuse()
	}}
}

// AcceptConnections ends RefuseConnections. It fails if another process has taken the port meanwhile,
// and when the server is closed.
func (s *Server) AcceptConnections() error {
	s.mu.Lock()
	defer s.unlock()
	s.refusing = false
	return s.allow()
}

// StopApp is `rabbitmqctl stop_app`, or a broker that is shut down: connections are closed with 320
// CONNECTION_FORCED, those that are not open yet without a word, and new ones are refused. Durable queues
// and the persistent messages in them stay, other queues and messages are lost; exchanges as in the server's Version.
func (s *Server) StopApp() { s.do(StopApp()) }

// StopApp is the fault that Server.StopApp brings about.
func StopApp() Fault {
	return Fault{name: "StopApp", broker: func(s *Server) {
		if s.stopped {
			return
		}
		s.stopped = true
		s.refuse()
		for _, c := range s.connectionsInOrder() {
			if c.stage < opened {
				c.hangUp()
			} else {
				c.close(refuse(connectionForced, "broker forced connection closure with reason 'shutdown'"), 0, 0)
			}
		}
		for _, host := range s.hosts {
			host.forget()
		}
	}}
}

// StartApp ends StopApp. It fails if another process has taken the port meanwhile, and when the server
// is closed.
func (s *Server) StartApp() error {
	s.mu.Lock()
	defer s.unlock()
	s.stopped = false
	return s.allow()
}

// SetPassword gives a user another password, or makes the user. Open connections go on.
func (s *Server) SetPassword(user, password string) { s.do(SetPassword(user, password)) }

// SetPassword is the fault that Server.SetPassword brings about: credentials that were good are refused
// with the next login.
func SetPassword(user, password string) Fault {
	return Fault{name: "SetPassword", broker: func(s *Server) {
		s.users[user] = password
		delete(s.hashes, user)
	}}
}

// forget leaves what outlives a restart.
func (h *virtualHost) forget() {
	for _, q := range h.queues {
		if !q.durable {
			q.delete()
			continue
		}
		q.merge()
		if q.kind != classic {
			continue
		}
		all := q.ready
		q.clear()
		for e := all.Front(); e != nil; e = e.Next() {
			if entry := e.Value.(*entry); entry.persistent() {
				q.pushBack(entry)
			}
		}
	}
	for _, x := range h.exchanges {
		if !x.durable && !h.server.has(versions.KeepsExchanges) {
			x.delete()
		}
	}
}

// close stops the timers.
func (h *virtualHost) close() {
	for _, q := range h.queues {
		q.delete()
	}
}
