// Package deadend has for tests what leads nowhere: a port at which nobody listens, a pipe that nobody reads, and a terminal
// that stands still.
package deadend

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Port is the address of one at which nobody listens, on 127.0.0.1. It is below those that the system gives to whoever asks for
// any, or it would soon be somebody's.
func Port(t testing.TB) (address string) {
	t.Helper()
	const first, last, tries = 20000, 32000, 100
	for range tries {
		address = net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(last-first)))
		if listener, err := net.Listen("tcp", address); err == nil {
			listener.Close()
			return address
		}
	}
	t.Fatalf("no free port from %d to %d", first, last)
	return ""
}
