package doctor

// The advice that the hints of consume and publish give, too.
const (
	// AdviceOnName is for a name that nobody resolves.
	AdviceOnName = "correct the host in the URL, or add the name to DNS or /etc/hosts"
	// AdvicePlainPort is for TLS spoken to a port that does not.
	AdvicePlainPort = "the port speaks AMQP without TLS: use amqp:// there, or the port of amqps, usually 5671"
	// AdviceTLSPort is for a port of TLS that is not spoken to in TLS.
	AdviceTLSPort = "the port speaks TLS: use amqps:// there, or the plain port, usually 5672"
	// AdviceHTTPPort is for a port of something else.
	AdviceHTTPPort = "the port speaks HTTP, as the management plugin does on 15672: use the port of AMQP, usually 5672 (with TLS 5671)"
)
