package rabbittest

import (
	"net"
	"testing"
)

// A port is one owner's until that releases it, whether somebody listens or not.
func TestClaimPort(t *testing.T) {
	mine, err := claimPort()
	must(t, err)
	defer mine.release()
	if other, err := net.ListenPacket("udp", mine.addr); err == nil {
		other.Close()
		t.Error("a port was claimed twice")
	}
	listener, err := net.Listen("tcp", mine.addr)
	must(t, err)
	defer listener.Close()
	mine.release()
	mine.release()
	again, err := net.ListenPacket("udp", mine.addr)
	must(t, err)
	again.Close()
}
