package rabbittest

import (
	"net"
	"testing"
)

// A process that is just being started has a copy of the listener, which neither accepts nor is in the way.
func TestProxyWhileAProcessStarts(t *testing.T) {
	proxy := newProxy(t, echoServer(t))
	copied, err := proxy.listener.(*net.TCPListener).File()
	must(t, err)
	defer copied.Close()
	proxy.Refuse()
	if conn, err := net.Dial("tcp", proxy.Addr()); err == nil {
		conn.Close()
		t.Error("connected, though the proxy refuses")
	}
	must(t, proxy.Accept())
}
