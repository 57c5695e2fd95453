package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// What the caller supplies (Credentials, TLS with its callbacks, Dial and the connection that it returns)
// may panic, end its goroutine, ignore its context and return nonsense. Here each of these becomes an error
// that says which of them it was: the attempt or the connection fails, and the next one may do better. There
// is one exception: a callback of TLS that ends the goroutine which reads (for a session ticket, say) leaves
// a silent connection behind, which the next probe finds out.

// errSupplied marks these errors; errProvider those that Credentials and TLS return themselves.
var (
	errSupplied = errors.New("a function of the program's is at fault")
	errProvider = errors.New("not to be had")
)

// ask calls a function on a goroutine of its own, and waits for it no longer than ctx. What it returns too
// late goes to late, if that is not nil.
func ask[T any](ctx context.Context, name string, function func(context.Context) (T, error), late func(T)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer)
	go func() {
		var a answer
		returned := false
		defer func() {
			if cause := recover(); cause != nil {
				a = answer{err: panicked(name, cause)}
			} else if !returned {
				a = answer{err: ended(name)}
			}
			select {
			case answers <- a:
			case <-ctx.Done():
				if a.err == nil && late != nil {
					late(a.value)
				}
			}
		}()
		value, err := function(ctx)
		a = answer{value, examined(err)}
		returned = true
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// examined calls an error's methods where a panic is recovered: one that holds a nil pointer may panic.
func examined(err error) error {
	if err != nil {
		_, _ = Classify(err)
		_ = err.Error()
	}
	return err
}

// caught is deferred, and makes a panic the error of the function that defers it. It is for what is called too
// often for a goroutine of its own.
func caught(name string, err *error) {
	if cause := recover(); cause != nil {
		*err = panicked(name, cause)
	}
}

// panicked is called where the panic was recovered.
func panicked(name string, cause any) error {
	return fmt.Errorf("%w: %s panicked: %v (%s)", errSupplied, name, cause, origin())
}

// ended is called on the goroutine that a function has ended.
func ended(name string) error {
	return fmt.Errorf("%w: %s ended its goroutine instead of returning", errSupplied, name)
}

// callers are the functions of this package that call what is supplied.
var callers = []string{
	"github.com/everhop/everhop/broker.ask[",
	"github.com/everhop/everhop/broker.supplied.",
	"github.com/everhop/everhop/broker.(*reads).",
	"github.com/everhop/everhop/broker.tlsConn.",
}

// origin is the stack below the panic, innermost first, up to this package and in one line.
func origin() string {
	const deepest = 64
	counters := make([]uintptr, deepest)
	frames := runtime.CallersFrames(counters[:runtime.Callers(0, counters)])
	var calls []string
	for panicking, more := false, true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicking = true
		case !panicking, strings.HasPrefix(f.Function, "runtime."):
		case slices.ContainsFunc(callers, func(own string) bool { return strings.HasPrefix(f.Function, own) }):
			more = false
		default:
			calls = append(calls, fmt.Sprintf("%s %s:%d", f.Function, filepath.Base(f.File), f.Line))
		}
	}
	return strings.Join(calls, " < ")
}

// credentials asks Credentials, if there is one.
func (p *Plan) credentials(ctx context.Context, e Endpoint) (Credentials, error) {
	if p.Credentials == nil {
		return e.credentials, nil
	}
	return ask(ctx, "Credentials", func(ctx context.Context) (Credentials, error) {
		c, err := p.Credentials(ctx)
		if err == nil && !e.external {
			err = c.problem()
		}
		if err != nil {
			return Credentials{}, fmt.Errorf("%w: %w", errProvider, err)
		}
		return c, nil
	}, nil)
}

// tlsConfig asks TLS, if there is one.
func (p *Plan) tlsConfig(ctx context.Context, e Endpoint) (*tls.Config, error) {
	load := p.TLS
	if load == nil {
		load = e.files.Load
	}
	return ask(ctx, "TLS", func(ctx context.Context) (*tls.Config, error) {
		config, err := load(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errProvider, err)
		}
		return hardened(config, e), nil
	}, nil)
}

// dial asks Dial. A connection that comes too late is closed.
func (p *Plan) dial(ctx context.Context, address string) (net.Conn, error) {
	return ask(ctx, "Dial", func(ctx context.Context) (net.Conn, error) {
		c, err := p.Dial(ctx, "tcp", address)
		switch v := reflect.ValueOf(c); {
		case err != nil:
			return nil, err
		case c == nil:
			return nil, fmt.Errorf("%w: Dial returned neither a connection nor an error", errSupplied)
		case v.Kind() == reflect.Pointer && v.IsNil():
			return nil, fmt.Errorf("%w: Dial returned a nil %T and no error", errSupplied, c)
		}
		switch c.(type) {
		case *net.TCPConn, *net.UnixConn:
			return c, nil // Go's own, which do nothing of that
		}
		return newSupplied(c), nil
	}, func(c net.Conn) { _ = c.Close() })
}

// supplied is a connection that Dial returned, and whose methods may do anything. They are called on goroutines
// of their own, which costs some microseconds each time; but Read, which is called most, always on the same one.
type supplied struct {
	net.Conn
	reads *reads
}

func newSupplied(c net.Conn) supplied {
	r := &reads{conn: c, wanted: make(chan []byte), came: make(chan read), closed: make(chan struct{}), ended: make(chan struct{})}
	go r.run()
	return supplied{c, r}
}

// reads calls Read, whenever somebody wants to, until the connection is closed.
type reads struct {
	conn    net.Conn
	wanted  chan []byte
	came    chan read
	once    sync.Once
	closed  chan struct{}
	ended   chan struct{} // the goroutine is gone, because of failure or since the connection is closed
	failure error
}

type read struct {
	n   int
	err error
}

const readName = "Read of the connection that Dial returned"

func (r *reads) run() {
	r.failure = net.ErrClosed
	defer close(r.ended)
	defer func() {
		select {
		case <-r.closed:
		default:
			r.failure = ended(readName)
		}
	}()
	for {
		select {
		case p := <-r.wanted:
			n, err := r.read(p)
			select {
			case r.came <- read{n, err}:
			case <-r.closed:
				return
			}
		case <-r.closed:
			return
		}
	}
}

func (r *reads) read(p []byte) (n int, err error) {
	defer caught(readName, &err)
	n, err = r.conn.Read(p)
	return n, examined(err)
}

func (r *reads) close() { r.once.Do(func() { close(r.closed) }) }

func (c supplied) Read(p []byte) (int, error) {
	select {
	case c.reads.wanted <- p:
	case <-c.reads.ended:
		return 0, c.reads.failure
	}
	select {
	case r := <-c.reads.came:
		return r.n, r.err
	case <-c.reads.ended:
		return 0, c.reads.failure
	}
}

func (c supplied) Write(p []byte) (int, error) {
	return ask(context.Background(), "Write of the connection that Dial returned", func(context.Context) (int, error) {
		return c.Conn.Write(p)
	}, nil)
}

func (c supplied) Close() error {
	defer c.reads.close() // behind what a Read that has ended by that returns
	return c.at("Close", c.Conn.Close)
}

func (c supplied) SetReadDeadline(t time.Time) error {
	return c.at("SetReadDeadline", func() error { return c.Conn.SetReadDeadline(t) })
}

func (c supplied) SetWriteDeadline(t time.Time) error {
	return c.at("SetWriteDeadline", func() error { return c.Conn.SetWriteDeadline(t) })
}

// SetLinger does nothing if the connection has no such method.
func (c supplied) SetLinger(seconds int) error {
	tcp, ok := c.Conn.(interface{ SetLinger(seconds int) error })
	if !ok {
		return nil
	}
	return c.at("SetLinger", func() error { return tcp.SetLinger(seconds) })
}

// atOnce is how long a method is waited for that has nothing to wait for: who aborts a connection has others
// to look after.
const atOnce = 100 * time.Millisecond

// at calls such a method.
func (c supplied) at(method string, call func() error) error {
	method += " of the connection that Dial returned"
	ctx, cancel := context.WithTimeoutCause(context.Background(), atOnce, fmt.Errorf("%w: %s did not return", errSupplied, method))
	defer cancel()
	_, err := ask(ctx, method, func(context.Context) (struct{}, error) { return struct{}{}, call() }, nil)
	return err
}
