package brokertest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestDialOfADoneContext(t *testing.T) {
	s := NewInMemoryServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Dial(ctx, "tcp", s.Addr()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Dial connects within the process to a server with a port, too.
func TestDialBesideAPort(t *testing.T) {
	s := NewServer(t)
	conn, err := s.Dial(t.Context(), "tcp", "anywhere")
	ok(t, err)
	defer conn.Close()
	await(t, s, "the connection", func() bool { return len(s.Connections()) == 1 })
}

// The errors of a connection in memory are those of TCP: a client sorts them as it sorts others.
func TestErrorsInMemory(t *testing.T) {
	for _, test := range []struct {
		name        string
		end         func(*Server, net.Conn)
		read, write error
	}{
		{"hung up", func(s *Server, _ net.Conn) { s.Inject(Now(), HangUp()) }, io.EOF, syscall.EPIPE},
		{"reset", func(s *Server, _ net.Conn) { s.Inject(Now(), Reset()) }, syscall.ECONNRESET, syscall.ECONNRESET},
		{"closed by the client", func(_ *Server, c net.Conn) { c.Close() }, net.ErrClosed, net.ErrClosed},
		{"timeout", func(_ *Server, c net.Conn) { _ = c.SetDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := NewInMemoryServer(t)
			conn, err := s.Dial(t.Context(), "tcp", s.Addr())
			ok(t, err)
			defer conn.Close()
			test.end(s, conn)
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, test.read) {
				t.Errorf("Read: %v, want %v", err, test.read)
			}
			if _, err := conn.Write([]byte{1}); !errors.Is(err, test.write) {
				t.Errorf("Write: %v, want %v", err, test.write)
			}
		})
	}
}
