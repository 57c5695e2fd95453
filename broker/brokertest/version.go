package brokertest

import (
	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// What the versions of RabbitMQ do otherwise is decided here, if it is a value, and else where it is done.

// has tells whether the version has a feature.
func (s *Server) has(f versions.Feature) bool { return versions.Has(s.version, f) }

// Version is the version of RabbitMQ that the server behaves like.
func (s *Server) Version() string { return s.version }

func (s *Server) mechanisms() string {
	mechanisms := "PLAIN AMQPLAIN"
	if s.has(versions.Anonymous) {
		mechanisms += " ANONYMOUS"
	}
	if s.authority != nil {
		mechanisms = "EXTERNAL " + mechanisms
	}
	return mechanisms
}

// offer is what a client is told that came with another protocol header. One of AMQP 1.0 and what is no AMQP at all are
// told of AMQP 1.0 with SASL, where there is that.
func (s *Server) offer(header [8]byte) string {
	if s.has(versions.AMQP1) && string(header[:6]) != "AMQP\x00\x00" {
		return "AMQP\x03\x01\x00\x00"
	}
	return wire.ProtocolHeader
}

// minFrame is the smallest frame_max.
func (s *Server) minFrame() uint32 {
	if s.has(versions.LargeFrames) {
		return 8192
	}
	return wire.FrameMinSize
}

// usualMaxMessage is RabbitMQ's max_message_size, unless it is configured.
func (s *Server) usualMaxMessage() uint64 {
	if s.has(versions.SmallMessages) {
		return 16 << 20
	}
	return 128 << 20
}

// deliveryLimit is that of a quorum queue which is declared without one.
func (s *Server) deliveryLimit() int {
	if s.has(versions.DefaultLimit) {
		return 20
	}
	return unlimited
}
