package broker

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// TestReaderOf reads from a TCP connection as its own Read does, and ends with the same errors.
func TestReaderOf(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for name, test := range map[string]struct {
		end  func(near, far *net.TCPConn)
		want func(error) bool
	}{
		"end":      {func(_, far *net.TCPConn) { far.Close() }, func(err error) bool { return err == io.EOF }},
		"closed":   {func(near, _ *net.TCPConn) { near.Close() }, func(err error) bool { return errors.Is(err, net.ErrClosed) }},
		"deadline": {func(near, _ *net.TCPConn) { near.SetReadDeadline(time.Now()) }, func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }},
		"reset": {func(_, far *net.TCPConn) {
			far.SetLinger(0)
			far.Close()
		}, func(err error) bool { return isNetwork(err) && err != io.EOF }},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			far, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			r, p := readerOf(conn), make([]byte, 3)
			if n, err := r.Read(nil); n != 0 || err != nil {
				t.Errorf("read %d bytes into none, %v", n, err)
			}
			came := make(chan string)
			go func() {
				for range 2 {
					n, _ := r.Read(p)
					came <- string(p[:n])
				}
			}()
			if _, err := far.Write([]byte("fours")); err != nil {
				t.Fatal(err)
			}
			if got := <-came + "," + <-came; got != "fou,rs" {
				t.Errorf("read %q", got)
			}
			failed := make(chan error)
			go func() {
				n, err := r.Read(p)
				if n != 0 {
					t.Errorf("read %d bytes more", n)
				}
				failed <- err
			}()
			test.end(conn.(*net.TCPConn), far.(*net.TCPConn))
			err = <-failed
			if !test.want(err) {
				t.Errorf("got %v", err)
			}
			if name == "reset" { // it is told once
				return
			}
			if _, want := conn.Read(p); want.Error() != err.Error() {
				t.Errorf("got %v, where the connection says %v", err, want)
			}
		})
	}
}
