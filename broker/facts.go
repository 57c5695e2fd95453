package broker

import (
	"context"
	"crypto/tls"
	"strconv"
	"time"
)

// Peer is what the broker has said of itself when the connection was opened, and what was agreed on.
type Peer struct {
	// Product, Version and Cluster are names, such as "RabbitMQ", "4.3.6" and "rabbit@node1"; "" if it said none.
	Product, Version, Cluster string
	// Heartbeat is the interval; 0 for none.
	Heartbeat time.Duration
	// FrameMax is the most bytes of a frame, and ChannelMax the most channels; 0 for no limit.
	FrameMax, ChannelMax int
}

// Peer tells whom the session is connected to.
func (s *Session) Peer() Peer {
	text := func(property string) string {
		value, _ := s.link.amqp.Properties[property].(string)
		return value
	}
	agreed := s.link.amqp.Config
	return Peer{
		Product: text("product"), Version: text("version"), Cluster: text("cluster_name"),
		Heartbeat: agreed.Heartbeat, FrameMax: agreed.FrameSize, ChannelMax: int(agreed.ChannelMax),
	}
}

// Host is the host: a name or an address.
func (e Endpoint) Host() string { return e.host }

// Port is the port, as text.
func (e Endpoint) Port() string { return strconv.Itoa(e.port) }

// VHost is the virtual host.
func (e Endpoint) VHost() string { return e.vhost }

// User is who logs in; "" if a certificate says that.
func (e Endpoint) User() string {
	if e.external {
		return ""
	}
	return e.credentials.username
}

// HasTLS tells whether it is an amqps endpoint.
func (e Endpoint) HasTLS() bool { return e.tls }

// TLSConfig is what an amqps endpoint is dialed with, when the plan has no TLS of its own.
func (e Endpoint) TLSConfig(ctx context.Context) (*tls.Config, error) {
	config, err := e.files.Load(ctx)
	if err != nil {
		return nil, err
	}
	return hardened(config, e), nil
}
