// Package ports leaves ports of this machine at once.
package ports

import "net"

// Leave closes a listener. From its return on nobody is accepted on its port, and another listener may have it.
//
// Close alone does not say so much: a process that is being started, by this one and at this moment, has a copy of the
// socket until it executes its program, which takes tens of milliseconds on a busy machine. Until then the port accepts
// connections, and whoever listens there again is told that it is in use.
func Leave(listener net.Listener) error {
	shutdown(listener)
	return listener.Close()
}
