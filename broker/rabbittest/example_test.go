package rabbittest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/everhop/everhop/broker/rabbittest"
)

// A proxy in front of any TCP server, and a connection that is reset.
func ExampleProxy() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	go func() {
		if conn, err := server.Accept(); err == nil {
			defer conn.Close()
			io.Copy(conn, conn)
		}
	}()

	proxy, err := rabbittest.NewProxy(server.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer proxy.Close()

	conn, err := net.Dial("tcp", proxy.Addr())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello")
	answer := make([]byte, 5)
	io.ReadFull(conn, answer)
	fmt.Println(string(answer), "over", proxy.Connections(), "connection")

	proxy.Reset()
	_, err = conn.Read(answer)
	fmt.Println("reset:", errors.Is(err, syscall.ECONNRESET))
	// Output:
	// hello over 1 connection
	// reset: true
}
