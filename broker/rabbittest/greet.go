package rabbittest

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/everhop/everhop/broker/internal/wire"
)

// protocolHeader is how a client of AMQP 0-9-1 begins.
const protocolHeader = "AMQP\x00\x00\x09\x01"

// greet offers AMQP 0-9-1 and expects connection.start from this very node: another that has taken its
// port is not it, and goes away when it likes. The node says its version.
func (n *Node) greet(ctx context.Context) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", n.addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if n.foreign && strings.HasPrefix(n.url, "amqps:") {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // nothing is told it, and what it says harms nobody
	}
	says, err := greeting(conn)
	if err != nil {
		return "", fmt.Errorf("rabbittest: %s: %w", n.addr, err)
	}
	// RabbitMQ names a cluster after its first node, with the machine's name behind the "@".
	name, _, _ := strings.Cut(fmt.Sprint(says["cluster_name"]), "@")
	if !n.foreign && !slices.Contains(n.cluster, name+"@localhost") {
		return "", fmt.Errorf("rabbittest: another broker answers on %s", n.addr)
	}
	return fmt.Sprint(says["version"]), nil
}

// greeting is what a broker says about itself.
func greeting(conn io.ReadWriter) (wire.Table, error) {
	if _, err := io.WriteString(conn, protocolHeader); err != nil {
		return nil, err
	}
	var head [frameOverhead - 1]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[3:])
	if head[0] != frameMethod || size > frameLimit {
		return nil, fmt.Errorf("the answer is not AMQP 0-9-1: %q", head)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(conn, payload); err != nil {
		return nil, err
	}
	method, err := wire.ParseMethod(payload)
	if err != nil {
		return nil, err
	}
	start, ok := method.(*wire.ConnectionStart)
	if !ok {
		return nil, fmt.Errorf("the answer is %s", wire.Name(method))
	}
	return start.ServerProperties, nil
}
