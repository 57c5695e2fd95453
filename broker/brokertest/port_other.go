//go:build !linux

package brokertest

import "net"

// keepPort does nothing here, where a port that is kept could not be listened on again.
func keepPort(net.Addr) (release func()) { return func() {} }
