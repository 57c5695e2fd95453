package broker

import (
	"net"

	"golang.org/x/sys/unix"
)

// sendQueue is how many bytes the kernel has taken for the peer, and the peer has not acknowledged.
func sendQueue(c net.Conn) (bytes int64, ok bool) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return 0, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, false
	}
	var queued int
	var failed error
	err = raw.Control(func(fd uintptr) { queued, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return int64(queued), err == nil && failed == nil
}
