package brokertest

import (
	"cmp"
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

	"github.com/everhop/everhop/broker/internal/ports"
	"github.com/everhop/everhop/broker/internal/versions"
)

// ErrClosed is returned by a closed server for what it cannot do any more.
var ErrClosed = errors.New("brokertest: the server is closed")

// Server is an AMQP 0-9-1 broker in this process. All methods may be called from any goroutine.
type Server struct {
	*VirtualHost // the first one

	name       string // host:port
	version    string // of RabbitMQ, that it behaves like
	url        string
	heartbeat  time.Duration
	maxMessage uint64 // bytes of a body
	channelMax uint16
	frameMax   uint32
	product    string
	authority  *authority // nil without TLS
	required   bool       // ClientCertificates
	lenient    bool       // IgnoreUnknown
	batching   bool       // BatchConfirms
	known      []argument
	routines   sync.WaitGroup
	injections injections

	mu          sync.Mutex
	listener    net.Listener // nil in memory, and while connections are refused
	releasePort func()       // while they are, their port is kept
	inMemory    bool
	closed      bool
	stopped     bool     // StopApp
	refusing    bool     // RefuseConnections
	alarms      []string // their reasons, in order
	users       map[string]string
	hashes      map[string]func(password string) bool // of users whose password nobody knows
	grants      map[string]map[string]grant           // by user, and virtual host
	topics      map[topicExchange]grant
	hosts       map[string]*virtualHost
	connections map[*connection]struct{}
	lastID      int
	fail        func(format string, args ...any) // of the test that has started it; may be nil
	replyPrefix string                           // of the names that consumers of replies get
	replies     map[string]*channel
	touched     []*queue // may have something to deliver
	seen        history
	changed     chan struct{} // closed with the next change; nil if nobody waits for one
}

// TB is what NewServer needs of a *testing.T.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// NewServer starts a server on a free port of 127.0.0.1, unless a Config wants another address, and closes it when the
// test ends.
func NewServer(t TB, options ...Option) *Server {
	t.Helper()
	return start(t, false, options)
}

// NewInMemoryServer starts a server without a port, for tests in a testing/synctest bubble: clients get
// its Dial. It is closed when the test ends; in a bubble, call it there and not outside.
func NewInMemoryServer(t TB, options ...Option) *Server {
	t.Helper()
	return start(t, true, options)
}

func start(t TB, inMemory bool, options []Option) *Server {
	t.Helper()
	var config Config
	for _, option := range options {
		option.apply(&config)
	}
	config.InMemory = inMemory
	s, err := Start(config)
	if err != nil {
		t.Fatalf("%v", err)
	}
	s.fail = t.Errorf
	t.Cleanup(s.Close)
	return s
}

// Start starts a server; the caller calls Close. It fails when no port can be had, and with a field of Config that RabbitMQ
// could not have, or a Version that it does not know.
func Start(config Config) (*Server, error) {
	defined, err := readDefinitions(config.Definitions)
	if err != nil {
		return nil, err
	}
	defined.complete(&config)
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
	if config.ClientCertificates && !config.TLS {
		return nil, errors.New("brokertest: Config.ClientCertificates needs TLS")
	}
	s := &Server{
		name:        "brokertest:5672",
		channelMax:  cmp.Or(config.ChannelMax, maxChannels),
		frameMax:    cmp.Or(config.FrameMax, maxFrame),
		product:     cmp.Or(config.Product, "Everhop brokertest"),
		required:    config.ClientCertificates,
		grants:      make(map[string]map[string]grant),
		hashes:      make(map[string]func(string) bool),
		topics:      make(map[topicExchange]grant),
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
	if s.frameMax < s.minFrame() {
		return nil, fmt.Errorf("brokertest: Config.FrameMax is %d, want %d or more", s.frameMax, s.minFrame())
	}
	if err := s.grantAll(config.Permissions); err != nil {
		return nil, err
	}
	for _, name := range config.VirtualHosts {
		s.hosts[name] = newVirtualHost(s, name)
	}
	s.VirtualHost = s.In(config.VirtualHosts[0])
	if err := s.open(config, defined); err != nil {
		s.Close()
		return nil, err
	}
	s.url = clientURL(s.name, config)
	return s, nil
}

// open makes what is defined, and lets clients in.
func (s *Server) open(config Config, defined definitions) (err error) {
	if err := s.define(defined); err != nil {
		return err
	}
	if config.TLS {
		host, _, _ := net.SplitHostPort(config.Addr)
		if s.authority, err = newAuthority(host); err != nil {
			return err
		}
	}
	if !config.InMemory {
		s.name = cmp.Or(config.Addr, "127.0.0.1:0")
		if err := s.listen(); err != nil {
			return err
		}
		s.name = s.listener.Addr().String() // for good: it is read without mu
	}
	return nil
}

// clientURL is where a client gets to the first virtual host.
func clientURL(host string, config Config) string {
	u := url.URL{Scheme: "amqp", Host: host, Path: "/"}
	if config.TLS {
		u.Scheme = "amqps"
	}
	name := "guest"
	if _, there := config.Users[name]; !there && len(config.Users) > 0 {
		name = slices.Min(slices.Collect(maps.Keys(config.Users)))
	}
	if password, there := config.Users[name]; there { // which may not be known
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
	if s.releasePort != nil {
		s.releasePort()
		s.releasePort = nil
	}
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
	if s.authority != nil {
		conn = s.authority.serve(conn, s.required)
	}
	newConnection(s, conn)
	return true
}

// refuse closes the port, and keeps it. Callers hold mu.
func (s *Server) refuse() {
	if s.listener != nil {
		_ = ports.Leave(s.listener)
		s.releasePort = keepPort(s.listener.Addr())
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
	if err := s.listen(); err != nil {
		return err
	}
	s.releasePort()
	s.releasePort = nil
	return nil
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
