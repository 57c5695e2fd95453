package brokertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"sync"
	"time"
)

// Config describes a server. The zero value is one that RabbitMQ's own defaults describe.
type Config struct {
	// InMemory opens no port: clients connect with Dial only.
	InMemory bool
	// Users and their passwords, all with every permission. Defaults to guest with password guest.
	Users map[string]string
	// VirtualHosts that exist. Defaults to "/".
	VirtualHosts []string
	// Heartbeat is what the server asks for; the client's wish wins where it is shorter. Whole seconds.
	// Defaults to 60 s.
	Heartbeat time.Duration
}

var errClosed = errors.New("brokertest: the server is closed")

// Server is an AMQP 0-9-1 broker in this process. All methods may be called from any goroutine.
type Server struct {
	name       string // host:port
	heartbeat  time.Duration
	routines   sync.WaitGroup
	injections injections

	mu          sync.Mutex
	listener    net.Listener // nil in memory, and while connections are refused
	inMemory    bool
	closed      bool
	stopped     bool // StopApp
	refusing    bool // RefuseConnections
	alarm       string
	users       map[string]string
	home        *virtualHost // the first virtual host
	hosts       map[string]*virtualHost
	connections map[*connection]struct{}
	lastID      int
	touched     []*queue // may have something to deliver
	seen        history
	changed     chan struct{} // closed with the next change; nil if nobody waits for one
}

// TB is what NewServer needs of a *testing.T.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// NewServer starts a server on a free port of 127.0.0.1, and closes it when the test ends.
func NewServer(t TB) *Server {
	t.Helper()
	return start(t, Config{})
}

// NewInMemoryServer starts a server without a port, for tests in a testing/synctest bubble: clients get
// its Dial. It is closed when the test ends; in a bubble, call it there and not outside.
func NewInMemoryServer(t TB) *Server {
	t.Helper()
	return start(t, Config{InMemory: true})
}

func start(t TB, config Config) *Server {
	t.Helper()
	s, err := Start(config)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a server; the caller calls Close. It fails when no port can be had, or with a Heartbeat that
// the protocol cannot carry.
func Start(config Config) (*Server, error) {
	if config.Users == nil {
		config.Users = map[string]string{"guest": "guest"}
	}
	if len(config.VirtualHosts) == 0 {
		config.VirtualHosts = []string{"/"}
	}
	if config.Heartbeat == 0 {
		config.Heartbeat = time.Minute
	}
	if h := config.Heartbeat; h < time.Second || h > math.MaxUint16*time.Second || h%time.Second != 0 {
		return nil, fmt.Errorf("brokertest: Config.Heartbeat is %v, want whole seconds up to %d", h, math.MaxUint16)
	}
	s := &Server{
		name:        "brokertest:5672",
		heartbeat:   config.Heartbeat,
		inMemory:    config.InMemory,
		users:       maps.Clone(config.Users),
		hosts:       make(map[string]*virtualHost),
		connections: make(map[*connection]struct{}),
		seen:        newHistory(),
	}
	for _, name := range config.VirtualHosts {
		s.hosts[name] = newVirtualHost(s, name)
	}
	s.home = s.hosts[config.VirtualHosts[0]]
	if !config.InMemory {
		s.name = "127.0.0.1:0"
		if err := s.listen(); err != nil {
			return nil, err
		}
		s.name = s.listener.Addr().String() // for good: it is read without mu
	}
	return s, nil
}

// Addr is host:port. In memory it names no host that exists.
func (s *Server) Addr() string { return s.name }

// URL is where clients connect, as guest and to the virtual host /.
func (s *Server) URL() string { return "amqp://guest:guest@" + s.name + "/" }

// Close ends everything at once and waits until nothing is left: no goroutine, no socket, no timer.
// Idempotent.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.refuse()
	for c := range s.connections {
		c.over()
		c.out.close()
		c.socket.cut()
	}
	for _, host := range s.hosts {
		host.close()
	}
	s.unlock()
	s.routines.Wait()
}

// listen opens the port that the name says. Callers hold mu, or are alone.
func (s *Server) listen() error {
	listener, err := net.Listen("tcp", s.name)
	if err != nil {
		return fmt.Errorf("brokertest: %w", err)
	}
	s.listener = listener
	s.routines.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if !s.accept(conn) {
				newSocket(conn).reset()
			}
		}
	})
	return nil
}

// accept takes a connection over, unless connections are refused.
func (s *Server) accept(conn net.Conn) bool {
	s.mu.Lock()
	defer s.unlock()
	if s.closed || s.stopped || s.refusing {
		return false
	}
	s.lastID++
	newConnection(s, conn)
	return true
}

// refuse closes the port. Callers hold mu.
func (s *Server) refuse() {
	if s.listener != nil {
		s.listener.Close()
		s.listener = nil
	}
}

// allow opens the port again, if nothing speaks against it. Callers hold mu.
func (s *Server) allow() error {
	switch {
	case s.closed:
		return errClosed
	case s.inMemory, s.listener != nil, s.stopped, s.refusing:
		return nil
	}
	return s.listen()
}

// unlock delivers what can be delivered, tells those who wait for a change, and releases mu. Whatever
// happens, deliveries come last: so what goes back to a queue is there, in its order, before any of it
// is delivered again.
func (s *Server) unlock() {
	for len(s.touched) > 0 {
		q := s.touched[0]
		s.touched = s.touched[1:]
		q.touched = false
		q.dispatch()
	}
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	s.mu.Unlock()
}

// Await returns nil as soon as condition holds, which may ask the server anything. It is tried now and
// after each change; when ctx ends first, Await returns ctx's error.
func (s *Server) Await(ctx context.Context, condition func() bool) error {
	for {
		s.mu.Lock()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if condition() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("brokertest: awaiting: %w", ctx.Err())
		}
	}
}
