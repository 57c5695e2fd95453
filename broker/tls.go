package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

// TLSFunc is asked for the TLS configuration before each dial of an amqps endpoint, so that renewed
// certificates are picked up by the next revival. The returned value is not modified; nil stands for the
// system's authorities. It may be called from several goroutines at once and should honour ctx.
type TLSFunc func(ctx context.Context) (*tls.Config, error)

// TLSFiles names PEM files, read anew at each dial. Verification of the server is always on.
type TLSFiles struct {
	// CA holds the authorities that may sign the server's certificate. Defaults to the system's.
	CA string
	// Certificate and Key are the client's own, for brokers that ask for one. Both or none.
	Certificate, Key string
	// ServerName is the name expected in the server's certificate. Defaults to the endpoint's host.
	ServerName string
}

// Load reads the files. It is a [TLSFunc].
func (f TLSFiles) Load(context.Context) (*tls.Config, error) {
	config := &tls.Config{ServerName: f.ServerName, MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("broker: CA file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("broker: CA file %s holds no PEM certificate", f.CA)
		}
	}
	if (f.Certificate == "") != (f.Key == "") {
		return nil, errors.New("broker: a client certificate needs both a certificate file and a key file")
	}
	if f.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
		if err != nil {
			return nil, fmt.Errorf("broker: client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// hardened returns a copy for one dial: at least TLS 1.2, and a name to verify.
func hardened(config *tls.Config, e Endpoint) *tls.Config {
	if config == nil {
		config = &tls.Config{}
	}
	config = config.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	if config.ServerName == "" {
		config.ServerName = e.host
	}
	return config
}

// secure makes the TLS handshake, which calls functions of the configuration.
func secure(ctx context.Context, socket *conn, config *tls.Config) (net.Conn, error) {
	client := tls.Client(socket, config)
	_, err := ask(ctx, "the TLS configuration", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, client.HandshakeContext(ctx)
	}, nil)
	return tlsConn{client, socket}, err
}

// tlsConn notes the errors of TLS on the socket, which sees only its records: with TLS 1.3 a server
// refuses the client's certificate after the handshake.
type tlsConn struct {
	*tls.Conn
	socket *conn
}

func (c tlsConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil && isCloseOK(p) { // the socket sees it encrypted
		return len(p), nil
	}
	return n, err
}

func (c tlsConn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if err != nil {
		c.socket.fail(err)
	}
	return n, err
}

// read may call what the configuration has for session tickets and renegotiation.
func (c tlsConn) read(p []byte) (n int, err error) {
	defer caught("the TLS configuration", &err)
	return c.Conn.Read(p)
}
