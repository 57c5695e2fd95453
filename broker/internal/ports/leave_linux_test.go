package ports

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// A copy of the socket, as a child has it that is being started, neither accepts nor keeps the port.
func TestLeave(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	copied, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if err := Leave(listener); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connected to %v: %v", conn, err)
	}
	again, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// Whoever waits for a connection is told that there will be none.
func TestLeaveEndsAccept(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		for {
			if _, err := listener.Accept(); errors.Is(err, net.ErrClosed) {
				ended <- err
				return
			}
		}
	}()
	if err := Leave(listener); err != nil {
		t.Error(err)
	}
	<-ended
}
