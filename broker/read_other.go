//go:build !linux

package broker

import (
	"io"
	"net"
)

func readerOf(c net.Conn) io.Reader { return c }
