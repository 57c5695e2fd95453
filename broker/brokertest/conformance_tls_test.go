package brokertest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
)

// secured is a broker that speaks TLS.
type secured struct {
	server
	addr string
	as   func(user string) *tls.Config // of a client; "" shows no certificate
}

func (s secured) dial(c *client, config *tls.Config, how amqp.Authentication) (*amqp.Connection, error) {
	conn, err := amqp.DialConfig("amqps://"+s.addr+"/", amqp.Config{TLSClientConfig: config, SASL: []amqp.Authentication{how}, Dial: c.connect})
	if err == nil {
		c.Cleanup(func() { conn.CloseDeadline(time.Now().Add(moment)) })
	}
	return conn, err
}

func (c *client) login() amqp.Authentication {
	return &amqp.PlainAuth{Username: "guest", Password: "guest"}
}

func encrypted(c *client) {
	s := c.server.Secure(c, false)
	conn, err := s.dial(c, s.as(""), c.login())
	c.ok(err)
	_, err = conn.Channel()
	c.ok(err)
	if _, err := s.dial(c, &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}, c.login()); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		c.Errorf("a client that trusts nobody: %v", err)
	}
}

func certificateRequired(c *client) {
	s := c.server.Secure(c, true)
	if _, err := s.dial(c, s.as(""), c.login()); err == nil {
		c.Error("let in without a certificate")
	}
	_, err := s.dial(c, s.as("anybody"), c.login())
	c.ok(err)
}

// external logs in as the user that the certificate names.
func external(c *client) {
	s := c.server.Secure(c, false)
	user := c.other("user")
	s.AddUser(c, user)
	s.Grant(c, user, "/", brokertest.Permissions{Configure: ".*", Write: ".*", Read: ".*"})
	conn, err := s.dial(c, s.as(user), &amqp.ExternalAuth{})
	c.ok(err)
	ch, err := conn.Channel()
	c.ok(err)
	c.ok(ch.Confirm(false))
	confirmation, err := ch.PublishWithDeferredConfirm("", "nowhere", false, false, amqp.Publishing{UserId: user}) // or the channel would be closed
	c.ok(err)
	if acked, err := confirmation.WaitContext(c.Context()); !acked || err != nil {
		c.Errorf("as another user: %v", err)
	}
	_, err = s.dial(c, s.as(c.other("nobody")), &amqp.ExternalAuth{})
	if got := reason(err); !strings.Contains(got, "username or password not allowed") {
		c.Errorf("a stranger: %v", err)
	}
	_, err = s.dial(c, s.as(""), &amqp.ExternalAuth{})
	if got := reason(err); !strings.Contains(got, "username or password not allowed") {
		c.Errorf("without a certificate: %v", err)
	}
}

func (d double) Secure(c *client, required bool) secured {
	s := brokertest.NewServer(c, brokertest.Config{TLS: true, ClientCertificates: required, Version: d.version})
	return secured{double{s, d.version}, s.Addr(), func(user string) *tls.Config {
		config := s.TLSConfig()
		if user != "" {
			certificate, err := s.ClientCertificate(user)
			c.ok(err)
			config.Certificates = []tls.Certificate{certificate}
		}
		return config
	}}
}

// Secure opens another port of the node, and has its plugin for EXTERNAL work, without the files that it usually takes.
func (r rabbit) Secure(c *client, required bool) secured {
	authority := newAuthority(c)
	addr := rabbittest.DeadPort(c)
	_, port, err := net.SplitHostPort(addr)
	c.ok(err)
	certificate, key := authority.issue("localhost", x509.ExtKeyUsageServerAuth)
	encoded, err := x509.MarshalECPrivateKey(key)
	c.ok(err)
	bits := func(text []byte) string { // as a binary, in numbers
		return "<<" + strings.Join(strings.Fields(strings.Trim(fmt.Sprint(text), "[]")), ",") + ">>"
	}
	answer, err := r.node.Eval(context.Background(), fmt.Sprintf(`
		{ok, _} = application:ensure_all_started(ssl),
		[Plugin] = filelib:wildcard(filename:dirname(code:lib_dir(rabbit)) ++ "/rabbitmq_auth_mechanism_ssl-*/ebin"),
		code:add_path(Plugin),
		rabbit_registry:register(auth_mechanism, <<"EXTERNAL">>, rabbit_auth_mechanism_ssl),
		{ok, Mechanisms} = application:get_env(rabbit, auth_mechanisms),
		application:set_env(rabbit, auth_mechanisms, ['EXTERNAL' | Mechanisms -- ['EXTERNAL']]),
		application:set_env(rabbit, ssl_cert_login_from, common_name),
		application:set_env(rabbit, ssl_options, [{verify, verify_peer}]),
		rabbit_networking:start_ssl_listener({"127.0.0.1", %s},
			[{cacerts, [%s]}, {cert, %s}, {key, {'ECPrivateKey', %s}}, {verify, verify_peer}, {fail_if_no_peer_cert, %t}], 1).
	`, port, bits(authority.certificate.Raw), bits(certificate), bits(encoded), required))
	c.ok(err)
	if answer != "ok" {
		c.Fatal(answer)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.certificate)
	return secured{r, addr, func(user string) *tls.Config {
		config := &tls.Config{RootCAs: roots, ServerName: "localhost"}
		if user != "" {
			certificate, key := authority.issue(user, x509.ExtKeyUsageClientAuth)
			config.Certificates = []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}
		}
		return config
	}}
}

// authority makes certificates.
type authority struct {
	c           *client
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(c *client) authority {
	a := authority{c: c}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.ok(err)
	template := a.template("Authority")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	raw, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	c.ok(err)
	a.certificate, err = x509.ParseCertificate(raw)
	c.ok(err)
	return a
}

func (a authority) template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	a.c.ok(err)
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func (a authority) issue(name string, usage x509.ExtKeyUsage) ([]byte, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.c.ok(err)
	template := a.template(name)
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{usage}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	a.c.ok(err)
	return raw, key
}
