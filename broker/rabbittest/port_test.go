package rabbittest

import (
	"net"
	"testing"
)

// A port is given to nobody while it is claimed, though nobody listens, nor while somebody listens who claims nothing.
func TestClaimPort(t *testing.T) {
	mine, err := claimPort()
	must(t, err)
	defer mine.release()
	isFree := func(when string, want bool) {
		t.Helper()
		other, err := claimWithin(mine.number, mine.number+1)
		if err == nil {
			other.release()
		}
		if free := err == nil; free != want {
			t.Errorf("%s: free is %t (%v), want %t", when, free, err, want)
		}
	}
	isFree("claimed", false)
	mine.release()
	mine.release() // idempotent
	isFree("released", true)
	listener, err := net.Listen("tcp", mine.addr)
	must(t, err)
	isFree("listened on", false)
	must(t, listener.Close())
	isFree("at last", true)
}

// A proxy keeps its port until it is closed.
func TestProxyKeepsItsPort(t *testing.T) {
	proxy := newProxy(t, echoServer(t))
	proxy.Refuse()
	number := proxy.port.number
	if other, err := claimWithin(number, number+1); err == nil {
		other.release()
		t.Error("its port was given away while it refuses")
	}
	proxy.Close()
	other, err := claimWithin(number, number+1)
	must(t, err)
	other.release()
}
