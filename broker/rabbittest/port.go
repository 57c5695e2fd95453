package rabbittest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are drawn below those that systems give to whoever asks for any (from 32768 on Linux, from 49152
// elsewhere). A node takes seconds until it listens, and a node or a proxy may be away for a while: in that
// time such a port would become another test's, or the near end of somebody's connection.
const (
	firstPort = 20000
	lastPort  = 32000
	portTries = 100
)

// listenAnywhere listens on a port of 127.0.0.1 that nobody listened on.
func listenAnywhere() (net.Listener, error) {
	var err error
	for range portTries {
		port := firstPort + rand.IntN(lastPort-firstPort)
		var listener net.Listener
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return listener, nil
		}
	}
	return nil, fmt.Errorf("rabbittest: no free port from %d to %d: %w", firstPort, lastPort, err)
}

// freePorts returns ports of 127.0.0.1 that nobody listened on a moment ago.
func freePorts(count int) ([]int, error) {
	ports := make([]int, count)
	for i := range ports {
		listener, err := listenAnywhere()
		if err != nil {
			return nil, err
		}
		defer listener.Close() // at the end, so that the ports differ
		ports[i] = listener.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
