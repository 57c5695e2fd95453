// Package ports closes listeners so that their ports are free at once.
package ports

import "net"

// Leave closes a listener. From its return on nobody is accepted on its port, and another listener may have it.
//
// Close alone is not enough. While this process starts another one, the new one has a copy of the socket until it executes
// its program. On a busy machine that takes tens of milliseconds. Until then the port accepts connections, and whoever
// listens there again is told that it is in use.
func Leave(listener net.Listener) error {
	shutdown(listener)
	return listener.Close()
}
