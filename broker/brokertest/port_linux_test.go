package brokertest

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
)

// While connections are refused, nobody else gets the port who asks for any.
func TestPortIsKept(t *testing.T) {
	s := NewServer(t)
	_, port, err := net.SplitHostPort(s.Addr())
	ok(t, err)
	local, err := strconv.Atoi(port)
	ok(t, err)
	other := NewServer(t)
	for range 2 {
		s.RefuseConnections()
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: local}}
		if conn, err := dialer.Dial("tcp", other.Addr()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("the port is the near end of a connection: %v, %v", conn, err)
			if err == nil {
				conn.Close()
			}
		}
		if _, err := s.connectTo(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want ECONNREFUSED", err)
		}
		ok(t, s.AcceptConnections())
		join(t, s)
	}
	s.Close()
	thief, err := net.Listen("tcp", s.Addr())
	ok(t, err)
	thief.Close()
}

// A process that is just being started has a copy of the listener, which neither accepts nor is in the way.
func TestRefuseWhileAProcessStarts(t *testing.T) {
	s := NewServer(t)
	copied, err := s.listener.(*net.TCPListener).File()
	ok(t, err)
	defer copied.Close()
	s.RefuseConnections()
	if _, err := s.connectTo(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v, want ECONNREFUSED", err)
	}
	ok(t, s.AcceptConnections())
	join(t, s)
}
