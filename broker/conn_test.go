package broker

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestConnSeesEveryByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := newConn(near, time.Second)
		defer c.abort()
		if silence := c.silence(); silence != 0 {
			t.Errorf("a new connection was silent for %v", silence)
		}
		time.Sleep(3 * time.Second) // of the bubble
		if silence := c.silence(); silence != 3*time.Second {
			t.Errorf("silence %v after 3s", silence)
		}
		first := c.arrived()
		if c.arrived() != first {
			t.Error("two who wait for the same byte got two channels")
		}
		if isClosed(first) {
			t.Error("a byte arrived that nobody sent")
		}
		go far.Write([]byte{1})
		if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if !isClosed(first) {
			t.Error("the byte was not announced")
		}
		if silence := c.silence(); silence != 0 {
			t.Errorf("silence %v after a byte", silence)
		}
		if isClosed(c.arrived()) {
			t.Error("an old byte was taken for a new one")
		}
	})
}

func TestConnWriteEndsWithAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := newConn(near, 4*time.Second)
		defer c.abort()
		var err error
		if d := took(func() { _, err = c.Write([]byte{1}) }); d != 4*time.Second || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the write ended after %v with %v, want 4s and a deadline", d, err)
		}
		if c.firstError() != err {
			t.Errorf("firstError %v, want %v", c.firstError(), err)
		}
	})
}

func TestConnEachWriteHasTheWholeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := newConn(near, 4*time.Second)
		defer c.abort()
		go io.Copy(io.Discard, far)
		for range 3 {
			if _, err := c.Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
		}
	})
}

func TestConnIsPatientWhileBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := newConn(near, 4*time.Second)
		written := make(chan error)
		write := func() { _, err := c.Write([]byte{1}); written <- err }

		// connection.blocked comes while a write is already waiting.
		go write()
		time.Sleep(3 * time.Second)
		c.setPatient(true)
		time.Sleep(time.Hour)
		go far.Read(make([]byte, 1))
		if err := <-written; err != nil {
			t.Errorf("the write before: %v", err)
		}
		go write()
		time.Sleep(time.Hour)
		go far.Read(make([]byte, 1))
		if err := <-written; err != nil {
			t.Errorf("a write while blocked: %v", err)
		}
		c.setPatient(false)
		go write()
		if d := took(func() {
			if err := <-written; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after unblocking: %v", err)
			}
		}); d != 4*time.Second {
			t.Errorf("after unblocking the write took %v", d)
		}
		c.abort()
	})
}

func TestConnAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := newConn(near, time.Minute)
		ended := make(chan error, 2)
		go func() { _, err := c.Read(make([]byte, 1)); ended <- err }()
		go func() { _, err := c.Write(make([]byte, 1)); ended <- err }()
		synctest.Wait()
		c.abort()
		c.abort()
		for range 2 {
			if err := <-ended; err == nil {
				t.Error("I/O succeeded on an aborted connection")
			}
		}
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the peer read %v", err)
		}
	})
}

func TestConnKeepsItsFirstError(t *testing.T) {
	near, far := net.Pipe()
	c := newConn(near, time.Minute)
	if err := c.firstError(); err != nil {
		t.Errorf("a healthy connection has error %v", err)
	}
	far.Close()
	c.Read(make([]byte, 1))
	c.abort()
	c.Write(make([]byte, 1))
	if err := c.firstError(); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
}

// With it, amqp091-go would acknowledge the delivery tags of one connection on the next.
func TestRecoveryStaysOff(t *testing.T) {
	plan := Plan{Name: "test"}.withDefaults()
	if c := plan.config(Endpoint{}, Credentials{}); c.Recovery != nil {
		t.Errorf("Recovery is %+v", c.Recovery)
	}
}

// The broker says why it closes, and does not wait for the answer: the answer must not fail, or what
// amqp091-go reports is that failure.
func TestCloseOKDoesNotFail(t *testing.T) {
	near, far := net.Pipe()
	far.Close()
	c := newConn(near, time.Second)
	defer c.abort()
	if n, err := c.Write([]byte(closeOKFrame)); n != len(closeOKFrame) || err != nil || c.firstError() != nil {
		t.Errorf("close-ok: %d, %v, %v; want no error", n, err, c.firstError())
	}
	if _, err := c.Write([]byte(closeOKFrame[1:])); err == nil || c.firstError() == nil {
		t.Error("another frame did not fail")
	}
}

// A write that finds the socket closed says nothing about why amqp091-go closed it.
func TestConnThatWasClosedHasNotFailed(t *testing.T) {
	near, far := tcpPair(t)
	defer far.Close()
	c := newConn(near, time.Second)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := c.firstError(); err != nil {
		t.Errorf("it is said to have failed: %v", err)
	}
}

func tcpPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if near, err = net.Dial("tcp", listener.Addr().String()); err == nil {
		far, err = listener.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}
