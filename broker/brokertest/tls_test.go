package brokertest

import (
	"crypto/tls"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestTLS(t *testing.T) {
	s := NewServer(t, Config{TLS: true})
	if !strings.HasPrefix(s.URL(), "amqps://") {
		t.Fatal(s.URL())
	}
	ok(t, s.DeclareQueue("q", nil))
	conn, err := amqp.DialTLS(s.URL(), s.TLSConfig())
	ok(t, err)
	ch := openChannel(t, conn)
	body := strings.Repeat("x", 300_000)
	ok(t, ch.PublishWithContext(t.Context(), "", "q", false, false, amqp.Publishing{Body: []byte(body)}))
	await(t, s, "it is there", func() bool { q, _ := s.Queue("q"); return q.Ready == 1 })
	got, _, err := ch.Get("q", true)
	ok(t, err)
	if string(got.Body) != body {
		t.Errorf("got %d bytes", len(got.Body))
	}
	ok(t, conn.Close())

	if _, err := amqp.DialTLS(s.URL(), &tls.Config{}); err == nil {
		t.Error("a stranger's certificate was taken")
	}
	if _, err := amqp.Dial(strings.Replace(s.URL(), "amqps", "amqp", 1)); err == nil {
		t.Error("it speaks without TLS, too")
	}
	await(t, s, "all are gone", func() bool { return len(s.Connections()) == 0 })
}

// Over TLS a fault looks as it does without.
func TestTLSReset(t *testing.T) {
	s := NewServer(t, Config{TLS: true})
	for _, fault := range []Fault{Reset(), HangUp(), CloseConnection(320, "x")} {
		conn, err := amqp.DialTLS(s.URL(), s.TLSConfig())
		ok(t, err)
		closed := conn.NotifyClose(make(chan *amqp.Error, 1))
		s.Inject(Now(), fault)
		if err := <-closed; err == nil {
			t.Errorf("%s: closed without an error", fault)
		}
		conn.Close()
		await(t, s, "it is gone", func() bool { return len(s.Connections()) == 0 })
	}
}

func TestExternal(t *testing.T) {
	s := NewServer(t, Config{TLS: true, Users: map[string]string{"ada": "secret"}})
	dial := func(name string) (*amqp.Connection, error) {
		config := s.TLSConfig()
		if name != "" {
			certificate, err := s.ClientCertificate(name)
			ok(t, err)
			config.Certificates = []tls.Certificate{certificate}
		}
		return amqp.DialTLS_ExternalAuth(s.URL(), config)
	}
	conn, err := dial("ada")
	ok(t, err)
	if got := s.Connections()[0].User; got != "ada" {
		t.Errorf("logged in as %q", got)
	}
	ok(t, conn.Close())
	for _, name := range []string{"", "bob"} {
		if _, err := dial(name); err == nil {
			t.Errorf("%q was let in", name)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	s := NewServer(t, Config{TLS: true, ClientCertificates: true})
	config := s.TLSConfig()
	if _, err := amqp.DialTLS(s.URL(), config); err == nil {
		t.Error("let in without a certificate")
	}
	certificate, err := NewServer(t, Config{TLS: true}).ClientCertificate("guest")
	ok(t, err)
	config.Certificates = []tls.Certificate{certificate}
	if _, err := amqp.DialTLS(s.URL(), config); err == nil {
		t.Error("let in with another server's certificate")
	}
	if config.Certificates[0], err = s.ClientCertificate("guest"); err != nil {
		t.Fatal(err)
	}
	conn, err := amqp.DialTLS(s.URL(), config)
	ok(t, err)
	ok(t, conn.Close())
	if _, err := NewServer(t).ClientCertificate("guest"); err == nil || NewServer(t).TLSConfig() != nil {
		t.Error("without TLS there is none")
	}
}
