package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/everhop/everhop/broker"
)

// soon is how long before its end a certificate is worth a warning.
const soon = 21 * 24 * time.Hour

// protocol finds out whether a port speaks what the URL says, and for TLS whether the certificate will do.
func (c *clinic) protocol(ctx context.Context, e broker.Endpoint, address string) bool {
	if e.HasTLS() {
		return c.secure(ctx, e, address)
	}
	spoken, err := c.listen(ctx, e, address)
	if spoken == silentPort && c.speaksTLS(ctx, e, address) {
		spoken = tlsPort
	}
	switch spoken {
	case amqpPort:
		c.ok("protocol", e.String(), "AMQP 0-9-1, without TLS")
		return true
	case tlsPort:
		c.broken("protocol", e.String(), "TLS is spoken there, and the URL begins with amqp://", broker.HintTLSPort)
	case httpPort:
		c.broken("protocol", e.String(), "HTTP is spoken there, not AMQP", broker.HintHTTPPort)
	case otherPort:
		c.broken("protocol", e.String(), "something else than AMQP 0-9-1 is spoken there", "correct the port: RabbitMQ's usual one is 5672 (rabbitmq-diagnostics listeners)")
	default:
		c.broken("protocol", e.String(), fmt.Sprintf("the port is open, but no AMQP comes from it (%v)", reason(err)),
			"it may be a proxy without a broker behind it, or a broker that hangs: look at both (rabbitmq-diagnostics check_running), and at the port")
	}
	return false
}

// spoken is what comes from a port.
type spoken int

const (
	silentPort spoken = iota
	amqpPort
	tlsPort
	httpPort
	otherPort
)

// listen says hello in AMQP, and listens to the answer.
func (c *clinic) listen(ctx context.Context, e broker.Endpoint, address string) (spoken, error) {
	conn, err := c.dial(ctx, e, address)
	if err != nil {
		return silentPort, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	end := c.deadline(ctx)
	_ = conn.SetDeadline(end.Add(-time.Until(end) / 2))
	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return silentPort, err
	}
	var head [5]byte
	n, err := io.ReadFull(conn, head[:])
	if n == 0 && isTimeout(err) { // who speaks HTTP waits for the end of the line
		_ = conn.SetDeadline(end)
		_, _ = conn.Write([]byte("\r\n\r\n"))
		n, err = io.ReadFull(conn, head[:])
	}
	if n == 0 {
		return silentPort, err
	}
	return recognise(head[:n]), nil
}

// recognise tells by its first bytes what somebody speaks.
func recognise(head []byte) spoken {
	const methodFrame, tlsAlert, tlsHandshake = 1, 0x15, 0x16
	switch {
	case head[0] == methodFrame:
		return amqpPort
	case head[0] == tlsAlert, head[0] == tlsHandshake:
		return tlsPort
	case strings.HasPrefix(string(head), "HTTP/"):
		return httpPort
	}
	return otherPort // also AMQP's own header, which names another version
}

// deadline is that of one step.
func (c *clinic) deadline(ctx context.Context) time.Time {
	at := time.Now().Add(c.Step)
	if end, ok := ctx.Deadline(); ok && end.Before(at) {
		return end
	}
	return at
}

// speaksTLS tells whether there is an answer to a TLS handshake, whatever comes of it.
func (c *clinic) speaksTLS(ctx context.Context, e broker.Endpoint, address string) bool {
	_, err := c.shake(ctx, e, address, &tls.Config{InsecureSkipVerify: true, ServerName: e.Host()})
	var op *net.OpError
	return err == nil || errors.As(err, &op) && op.Op == "remote error"
}

// shake makes a TLS handshake.
func (c *clinic) shake(ctx context.Context, e broker.Endpoint, address string, config *tls.Config) (tls.ConnectionState, error) {
	raw, err := c.dial(ctx, e, address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer raw.Close()
	ctx, cancel := c.step(ctx)
	defer cancel()
	conn := tls.Client(raw, config)
	err = conn.HandshakeContext(ctx)
	return conn.ConnectionState(), err
}

// tlsConfig is what the endpoint is dialed with.
func (c *clinic) tlsConfig(ctx context.Context, e broker.Endpoint) (*tls.Config, error) {
	if c.TLS == nil {
		return e.TLSConfig(ctx)
	}
	config, err := c.TLS(ctx)
	if err != nil {
		return nil, err
	}
	config = config.Clone()
	config.ServerName = cmp.Or(config.ServerName, e.Host())
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return config, nil
}

// secure looks at TLS, and then at the certificate: it goes on where a client would not, to say all that is wrong.
func (c *clinic) secure(ctx context.Context, e broker.Endpoint, address string) bool {
	config, err := c.tlsConfig(ctx, e)
	if err != nil {
		c.broken("protocol", e.String(), err.Error(), "correct the names of the files (cacertfile, certfile and keyfile in the URL, or --tls-ca, --tls-cert and --tls-key), or their permissions")
		return false
	}
	open := config.Clone()
	open.InsecureSkipVerify = true
	state, err := c.shake(ctx, e, address, open)
	if err != nil {
		c.noTLS(ctx, e, address, err)
		return false
	}
	c.ok("protocol", e.String(), "%s, %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	return c.certificate(e, config, state.PeerCertificates)
}

func (c *clinic) noTLS(ctx context.Context, e broker.Endpoint, address string, err error) {
	say := func(text, advice string) { c.broken("protocol", e.String(), text, advice) }
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var op *net.OpError
	refused := errors.As(err, &op) && op.Op == "remote error"
	spoken := silentPort
	if !refused {
		spoken, _ = c.listen(ctx, e, address)
	}
	switch {
	case spoken == amqpPort:
		say("AMQP without TLS is spoken there, and the URL begins with amqps://", broker.HintPlainPort)
	case spoken == httpPort:
		say("HTTP is spoken there, not TLS", broker.HintHTTPPort)
	case strings.Contains(err.Error(), "protocol version"), strings.Contains(err.Error(), "unsupported versions"):
		say("the broker offers no TLS 1.2 or newer", "let it: ssl_options.versions.1 = tlsv1.3, ssl_options.versions.2 = tlsv1.2 in rabbitmq.conf")
	case refused, errors.As(err, &alert):
		say(fmt.Sprintf("the broker refuses the TLS handshake: %v", reason(err)),
			"if it wants a client's certificate, name one with certfile and keyfile in the URL, or --tls-cert and --tls-key; its log says more")
	case errors.As(err, &record):
		say("no TLS is spoken there: "+record.Msg, broker.HintPlainPort)
	default:
		say(fmt.Sprintf("the port is open, but the TLS handshake does not end (%v)", reason(err)),
			"it may be a proxy without a broker behind it, or another port than that of amqps, usually 5671")
	}
}

// certificate says all that is wrong with the broker's certificate.
func (c *clinic) certificate(e broker.Endpoint, config *tls.Config, chain []*x509.Certificate) bool {
	leaf, now, good := chain[0], time.Now(), true
	bad := func(text, advice string) {
		good = false
		c.broken("certificate", e.String(), text, advice)
	}
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
	within := now
	switch left := leaf.NotAfter.Sub(now); {
	case now.Before(leaf.NotBefore):
		within = leaf.NotBefore
		bad("the certificate is not valid before "+day(leaf.NotBefore), "look at this machine's clock; if that is right, wait, or install another certificate at the broker")
	case left < 0:
		within = leaf.NotAfter
		bad("the certificate has expired on "+day(leaf.NotAfter), "renew it at the broker; if it is new, look at this machine's clock")
	case left < soon:
		c.warn("certificate", e.String(), "the certificate expires on "+day(leaf.NotAfter), "renew it at the broker before that")
	}
	if err := leaf.VerifyHostname(config.ServerName); err != nil {
		bad(fmt.Sprintf("the certificate is not for %s: %v", config.ServerName, err),
			"use a name in the URL that the certificate has, or say it with --tls-server-name (server_name_indication in the URL), or have it in the certificate (as subjectAltName)")
	}
	intermediates := x509.NewCertPool()
	for _, one := range chain[1:] {
		intermediates.AddCert(one)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: config.RootCAs, Intermediates: intermediates, CurrentTime: within})
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &authority):
		bad(fmt.Sprintf("nobody who is trusted here has signed the certificate (its issuer is %s)", leaf.Issuer),
			"name the file of its authority with cacertfile in the URL; if there is an authority between, the broker must send its certificate, too")
	case err != nil:
		bad(fmt.Sprintf("the certificate's chain: %v", err), "renew the chain at the broker, or correct cacertfile in the URL")
	}
	if good {
		c.ok("certificate", e.String(), "for %s, signed by %s, until %s", config.ServerName, leaf.Issuer.CommonName, day(leaf.NotAfter))
	}
	return good
}
