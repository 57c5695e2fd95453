package rabbittest

import (
	"net"
	"testing"

	"github.com/everhop/everhop/broker/internal/ports"
)

// isFree tells whether a port can be claimed.
func isFree(number int) bool {
	p, err := claimWithin(number, number+1)
	if err != nil {
		return false
	}
	p.release()
	return true
}

// awaitFree gives a process that is just being started the time to let go of a claim.
func awaitFree(t *testing.T, number int) {
	t.Helper()
	Eventually(t, patience, "the port is free", func() bool { return isFree(number) })
}

// A port is given to nobody while it is claimed, though nobody listens, nor while somebody listens who claims nothing.
func TestClaimPort(t *testing.T) {
	mine, err := claimPort()
	must(t, err)
	defer mine.release()
	if isFree(mine.number) {
		t.Error("free though claimed")
	}
	mine.release()
	mine.release() // idempotent
	awaitFree(t, mine.number)
	listener, err := net.Listen("tcp", mine.addr)
	must(t, err)
	if isFree(mine.number) {
		t.Error("free though somebody listens")
	}
	must(t, ports.Leave(listener))
	awaitFree(t, mine.number)
}

// A proxy keeps its port until it is closed.
func TestProxyKeepsItsPort(t *testing.T) {
	proxy := newProxy(t, echoServer(t))
	proxy.Refuse()
	if isFree(proxy.port.number) {
		t.Error("its port was given away while it refuses")
	}
	proxy.Close()
	awaitFree(t, proxy.port.number)
}
