package brokertest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// Dial connects to the server within the process, without a port, whatever address it is asked for: give
// it to the client as its dial function. The connection is a net.Pipe, so client and server can live in
// a testing/synctest bubble. While the server refuses connections, the error is ECONNREFUSED.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	broken := new(atomic.Bool)
	if !s.accept(&memoryConn{Conn: far, broken: broken}) {
		near.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	return &memoryConn{Conn: near, broken: broken}, nil
}

// memoryConn is one end of a connection within the process. net.Pipe knows one way to end; here a
// reset can be told from a hang-up, and either from a Close of one's own, as on TCP.
type memoryConn struct {
	net.Conn
	broken *atomic.Bool // reset by one end
	closed atomic.Bool  // by this end
}

func (c *memoryConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

func (c *memoryConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.explain("read", err)
}

func (c *memoryConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.explain("write", err)
}

func (c *memoryConn) explain(op string, err error) error {
	ended := errors.Is(err, io.ErrClosedPipe)
	switch {
	case ended && c.closed.Load():
		err = net.ErrClosed
	case c.broken.Load() && (ended || errors.Is(err, io.EOF)):
		err = os.NewSyscallError(op, syscall.ECONNRESET)
	case ended:
		err = os.NewSyscallError(op, syscall.EPIPE)
	default:
		return err
	}
	return &net.OpError{Op: op, Net: "pipe", Err: err}
}
