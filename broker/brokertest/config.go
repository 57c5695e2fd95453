package brokertest

import "time"

// Config describes a server. The zero value has RabbitMQ's own defaults.
type Config struct {
	// InMemory opens no port: clients connect with Dial only.
	InMemory bool
	// Addr is where to listen. Defaults to 127.0.0.1:0, a free port.
	Addr string
	// Users and their passwords. Defaults to guest with password guest.
	Users map[string]string
	// Permissions of users by virtual host. Who is not among them has every permission in every virtual host; who is has
	// none in a virtual host that is not named.
	Permissions map[string]map[string]Permissions
	// VirtualHosts that exist. Defaults to "/".
	VirtualHosts []string
	// Definitions are what RabbitMQ exports as JSON, by rabbitmqctl export_definitions or from its management, of all
	// virtual hosts or of one: users, virtual hosts, permissions, queues, exchanges, bindings and policies come on top
	// of those above. A user of them has the permissions that they give, and no others. Policies with a key that is not
	// known here are passed over, which Ignored tells, and so are bindings from and to an exchange of the broker's own that is not
	// there, such as amq.rabbitmq.log; the rest is of no consequence.
	Definitions []byte
	// Heartbeat is what the server proposes; the client decides. Most take the shorter one of that and
	// their own wish, but whatever they answer counts, and 0 is no heartbeats. Whole seconds. Defaults to
	// 60 s.
	Heartbeat time.Duration
	// ChannelMax is how many channels a connection may have. Defaults to 2047.
	ChannelMax uint16
	// FrameMax is how large a frame may be. Defaults to 131072 bytes, and is no less than 4096, or 8192 from RabbitMQ 4.1
	// on.
	FrameMax uint32
	// TLS has clients connect with TLS, and a certificate that is made in memory: see TLSConfig. They may log in with the
	// mechanism EXTERNAL, if they have a ClientCertificate.
	TLS bool
	// ClientCertificates hangs up on clients that show no ClientCertificate: RabbitMQ's fail_if_no_peer_cert. Needs TLS.
	ClientCertificates bool
	// Product is what the server calls itself, for clients that take others for RabbitMQ's lesser kin. Defaults to
	// "Everhop brokertest".
	Product string
	// Version of RabbitMQ that the server behaves like: "3.10", "4.0" or "4.3". Defaults to the newest.
	Version string
	// MaxMessageSize is how many bytes a body may have, up to 512 MiB: RabbitMQ's max_message_size. The channel
	// that a larger one is published on is closed with 406 when all of the body has come. Defaults to that of the
	// Version, 128 MiB before 4.0 and 16 MiB from then on.
	MaxMessageSize int
	// IgnoreUnknown has the server pass over arguments of queue.declare, exchange.declare and basic.consume that it does
	// not know, as RabbitMQ passes over those that it does not. Ignored tells which. Without it they are refused with 540.
	IgnoreUnknown bool
	// BatchConfirms has the server confirm together, with multiple, what a client has published in one go, as a busy RabbitMQ
	// does. How many confirms a client gets depends on what its network brings at once, then. Without it each message is
	// confirmed with a frame of its own, as by a RabbitMQ that has nothing else to do.
	BatchConfirms bool
}

// Option is what a server differs in that a test starts: a Config, or one of the functions below, which change one field
// of it.
type Option interface{ apply(*Config) }

func (c Config) apply(to *Config) { *to = c }

type option func(*Config)

func (o option) apply(to *Config) { o(to) }

// Version has the server behave like a version of RabbitMQ: see Config.
func Version(version string) Option {
	return option(func(c *Config) { c.Version = version })
}

// IgnoreUnknown has the server pass over arguments that it does not know: see Config.
func IgnoreUnknown() Option {
	return option(func(c *Config) { c.IgnoreUnknown = true })
}

// BatchConfirms has the server confirm messages together: see Config.
func BatchConfirms() Option {
	return option(func(c *Config) { c.BatchConfirms = true })
}

// MaxMessageSize has the server refuse bodies of more bytes: see Config.
func MaxMessageSize(bytes int) Option {
	return option(func(c *Config) { c.MaxMessageSize = bytes })
}
