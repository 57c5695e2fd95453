package brokertest

import (
	"fmt"
	"maps"
)

// VirtualHost is what a virtual host of a Server holds: see Server.In. A Server's own methods of these names are those of
// the first one.
type VirtualHost struct {
	server *Server
	name   string
}

// In is a virtual host, by its name. It need not be there: then its methods that return an error fail, and the others do
// nothing, and find nothing.
func (s *Server) In(virtualHost string) *VirtualHost { return &VirtualHost{s, virtualHost} }

// host finds a virtual host; "" is the first one. It is nil if it is not there. Callers hold mu.
func (s *Server) host(name string) *virtualHost {
	if name == "" {
		name = s.VirtualHost.name
	}
	return s.hosts[name]
}

// find finds it, or says why it is not there. Callers hold the server's mu.
func (v *VirtualHost) find() (*virtualHost, error) {
	if v.server.closed {
		return nil, ErrClosed
	}
	if h := v.server.hosts[v.name]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("brokertest: there is no virtual host %q", v.name)
}

// queue finds a queue; nil if it is not there. Callers hold the server's mu.
func (v *VirtualHost) queue(name string) *queue {
	if h := v.server.hosts[v.name]; h != nil {
		return h.queues[name]
	}
	return nil
}

func (v *VirtualHost) do(f Fault) {
	v.server.mu.Lock()
	defer v.server.unlock()
	f.befall(v.server, v.name)
}

// AddVirtualHost makes a virtual host, unless it is there already.
func (s *Server) AddVirtualHost(name string) {
	s.mu.Lock()
	defer s.unlock()
	if !s.closed && s.hosts[name] == nil {
		s.hosts[name] = newVirtualHost(s, name)
	}
}

// DeleteVirtualHost deletes a virtual host with all that it holds, if it is there. Connections to it are closed with 320.
func (s *Server) DeleteVirtualHost(name string) { s.do(DeleteVirtualHost(name)) }

// DeleteVirtualHost is the fault that Server.DeleteVirtualHost brings about.
func DeleteVirtualHost(name string) Fault {
	return Fault{name: "DeleteVirtualHost", broker: func(s *Server) {
		h := s.hosts[name]
		if h == nil {
			return
		}
		s.closeAll(func(c *connection) bool { return c.host == h }, "vhost '%s' is deleted", name)
		delete(s.hosts, name)
		for _, grants := range s.grants {
			delete(grants, name)
		}
		maps.DeleteFunc(s.topics, func(of topicExchange, _ grant) bool { return of.host == name })
		h.close()
	}}
}

// closeAll closes, as an operator does, those open connections that it is about.
func (s *Server) closeAll(about func(*connection) bool, format string, args ...any) {
	for _, c := range s.connectionsInOrder() {
		if c.stage == opened && about(c) {
			c.close(refuse(connectionForced, format, args...), 0, 0)
		}
	}
}
