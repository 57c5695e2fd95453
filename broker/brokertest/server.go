package brokertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
)

// Config describes a server. The zero value has RabbitMQ's own defaults.
type Config struct {
	// InMemory opens no port: clients connect with Dial only.
	InMemory bool
	// Users and their passwords, all with every permission. Defaults to guest with password guest.
	Users map[string]string
	// VirtualHosts that exist. Defaults to "/".
	VirtualHosts []string
	// Heartbeat is what the server proposes; the client decides. Most take the shorter one of that and
	// their own wish, but whatever they answer counts, and 0 is no heartbeats. Whole seconds. Defaults to
	// 60 s.
	Heartbeat time.Duration
	// Version of RabbitMQ that the server behaves like: "3.10", "4.0" or "4.3". Defaults to the newest.
	Version string
	// MaxMessageSize is how many bytes a body may have, up to 512 MiB: RabbitMQ's max_message_size. The channel
	// that a larger one is published on is closed with 406 when all of the body has come. Defaults to that of the
	// Version, 128 MiB before 4.0 and 16 MiB from then on.
	MaxMessageSize int
	// IgnoreUnknown has the server pass over arguments of queue.declare, exchange.declare and basic.consume that it does
	// not know, as RabbitMQ passes over those that it does not. Ignored tells which. Without it they are refused with 540.
	IgnoreUnknown bool
	// BatchConfirms has the server confirm together, with multiple, what a client has published in one go, as a busy RabbitMQ
	// does. How many confirms a client gets depends on what its network brings at once, then. Without it each message is
	// confirmed with a frame of its own, as by a RabbitMQ that has nothing else to do.
	BatchConfirms bool
}

// Option changes the Config of a server that a test starts.
type Option func(*Config)

// Version has the server behave like a version of RabbitMQ: see Config.
func Version(version string) Option {
	return func(c *Config) { c.Version = version }
}

// IgnoreUnknown has the server pass over arguments that it does not know: see Config.
func IgnoreUnknown() Option {
	return func(c *Config) { c.IgnoreUnknown = true }
}

// BatchConfirms has the server confirm messages together: see Config.
func BatchConfirms() Option {
	return func(c *Config) { c.BatchConfirms = true }
}

// MaxMessageSize has the server refuse bodies of more bytes: see Config.
func MaxMessageSize(bytes int) Option {
	return func(c *Config) { c.MaxMessageSize = bytes }
}

// ErrClosed is returned by a closed server for what it cannot do any more.
var ErrClosed = errors.New("brokertest: the server is closed")

// Server is an AMQP 0-9-1 broker in this process. All methods may be called from any goroutine.
type Server struct {
	name       string // host:port
	version    string // of RabbitMQ, that it behaves like
	url        string
	heartbeat  time.Duration
	maxMessage uint64 // bytes of a body
	lenient    bool   // IgnoreUnknown
	batching   bool   // BatchConfirms
	known      []argument
	routines   sync.WaitGroup
	injections injections

	mu          sync.Mutex
	listener    net.Listener // nil in memory, and while connections are refused
	inMemory    bool
	closed      bool
	stopped     bool     // StopApp
	refusing    bool     // RefuseConnections
	alarms      []string // their reasons, in order
	users       map[string]string
	home        *virtualHost // the first virtual host
	hosts       map[string]*virtualHost
	connections map[*connection]struct{}
	lastID      int
	replyPrefix string // of the names that consumers of replies get
	replies     map[string]*channel
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
func NewServer(t TB, options ...Option) *Server {
	t.Helper()
	return start(t, Config{}, options)
}

// NewInMemoryServer starts a server without a port, for tests in a testing/synctest bubble: clients get
// its Dial. It is closed when the test ends; in a bubble, call it there and not outside.
func NewInMemoryServer(t TB, options ...Option) *Server {
	t.Helper()
	return start(t, Config{InMemory: true}, options)
}

func start(t TB, config Config, options []Option) *Server {
	t.Helper()
	for _, option := range options {
		option(&config)
	}
	s, err := Start(config)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a server; the caller calls Close. It fails when no port can be had, with a Heartbeat that
// the protocol cannot carry, with a Version that it does not know, or with a MaxMessageSize that RabbitMQ could not have.
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
	if config.Version == "" {
		config.Version = versions.Newest()
	}
	if !slices.Contains(versions.Tested, config.Version) {
		return nil, fmt.Errorf("brokertest: Config.Version is %q, want one of %q", config.Version, versions.Tested)
	}
	if h := config.Heartbeat; h < time.Second || h > math.MaxUint16*time.Second || h%time.Second != 0 {
		return nil, fmt.Errorf("brokertest: Config.Heartbeat is %v, want whole seconds up to %d", h, math.MaxUint16)
	}
	if n := config.MaxMessageSize; n < 0 || n > hugeBody {
		return nil, fmt.Errorf("brokertest: Config.MaxMessageSize is %d, want up to %d bytes", n, hugeBody)
	}
	s := &Server{
		name:        "brokertest:5672",
		version:     config.Version,
		heartbeat:   config.Heartbeat,
		lenient:     config.IgnoreUnknown,
		batching:    config.BatchConfirms,
		inMemory:    config.InMemory,
		users:       maps.Clone(config.Users),
		hosts:       make(map[string]*virtualHost),
		connections: make(map[*connection]struct{}),
		replyPrefix: replyTo + "." + random() + ".",
		replies:     make(map[string]*channel),
		seen:        newHistory(),
	}
	s.known = s.knownArguments()
	if s.maxMessage = uint64(config.MaxMessageSize); s.maxMessage == 0 {
		s.maxMessage = s.usualMaxMessage()
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
	s.url = clientURL(s.name, config)
	return s, nil
}

// clientURL is where a client gets to the first virtual host.
func clientURL(host string, config Config) string {
	u := url.URL{Scheme: "amqp", Host: host, Path: "/"}
	name := "guest"
	if _, there := config.Users[name]; !there && len(config.Users) > 0 {
		name = slices.Min(slices.Collect(maps.Keys(config.Users)))
	}
	if password, there := config.Users[name]; there {
		u.User = url.UserPassword(name, password)
	}
	if first := config.VirtualHosts[0]; first != "/" { // which is the one of a path without a name
		u.Path += first
		u.RawPath = "/" + url.PathEscape(first)
	}
	return u.String()
}

// Addr is host:port. In memory it names no host that exists.
func (s *Server) Addr() string { return s.name }

// URL is where clients connect, to the first virtual host: as guest if there is such a user, else as the
// first by name. The password is the one in Config, whatever SetPassword did since.
func (s *Server) URL() string { return s.url }

// Close ends everything at once and waits until nothing is left: no goroutine, no socket, no timer. Await
// returns ErrClosed then. Idempotent.
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
	s.routines.Go(func() { s.acceptAll(listener) })
	return nil
}

// acceptPause is how long a listener that failed is left alone.
const acceptPause = 5 * time.Millisecond

// acceptAll runs until the listener is closed. Whatever else goes wrong, such as too many open files, passes.
func (s *Server) acceptAll(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			time.Sleep(acceptPause)
		case !s.accept(conn):
			newSocket(conn).reset()
		}
	}
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
		return ErrClosed
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
// after each change. When ctx ends first, Await returns ctx's error; when the server is closed and the
// condition does not hold then, ErrClosed.
func (s *Server) Await(ctx context.Context, condition func() bool) error {
	for {
		s.mu.Lock()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed, closed := s.changed, s.closed
		s.mu.Unlock()
		switch {
		case condition():
			return nil
		case closed:
			return ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("brokertest: awaiting: %w", ctx.Err())
		}
	}
}
