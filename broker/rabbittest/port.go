package rabbittest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"

	"github.com/everhop/everhop/broker/internal/ports"
)

// Ports are drawn below those that systems give to whoever asks for any: from 32768 on Linux, from 49152 elsewhere.
const (
	firstPort = 20000
	lastPort  = 32000
	portTries = 100
)

// port is one of 127.0.0.1 that is its owner's also while nobody listens on it: a node takes seconds until it listens,
// and a node or a proxy may be away for a while. In that time another test, of this process or another one, must not draw
// it. It is claimed by a UDP socket of the same number: the system gives that to one only, and takes it back from a
// process that has ended. Nodes are not in the way: what they have of UDP is on a port that the system chose.
type port struct {
	addr   string // 127.0.0.1:number
	number int
	claim  net.PacketConn
}

// claimPort returns a port on which nobody listens. The caller releases it.
func claimPort() (port, error) { return claimWithin(firstPort, lastPort) }

// claimWithin claims a port from first to last, without last.
func claimWithin(first, last int) (port, error) {
	var err error
	for range portTries {
		p := port{number: first + rand.IntN(last-first)}
		p.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number))
		if p.claim, err = net.ListenPacket("udp", p.addr); err != nil {
			continue
		}
		var listener net.Listener
		if listener, err = net.Listen("tcp", p.addr); err == nil {
			_ = ports.Leave(listener) // the caller listens next
			return p, nil
		}
		p.release() // it is somebody's who claims nothing
	}
	return port{}, fmt.Errorf("rabbittest: no free port from %d to %d: %w", first, last-1, err)
}

// claimPorts returns count ports, or none and the error of claimPort.
func claimPorts(count int) ([]port, error) {
	var claimed []port
	for range count {
		p, err := claimPort()
		if err != nil {
			release(claimed)
			return nil, err
		}
		claimed = append(claimed, p)
	}
	return claimed, nil
}

func release(claimed []port) {
	for _, p := range claimed {
		p.release()
	}
}

// release gives the port up. It is idempotent. A process that is just being started may have the claim for a moment longer.
func (p port) release() { p.claim.Close() }

// DeadPort is the address of a port of 127.0.0.1 at which nobody listens, 127.0.0.1:PORT. Until the test has ended it is
// nobody else's; the test itself may have somebody listen there.
func DeadPort(tb testing.TB) (addr string) {
	tb.Helper()
	p, err := claimPort()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.release)
	return p.addr
}
