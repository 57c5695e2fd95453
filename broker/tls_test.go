package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
)

// terminate accepts TLS and passes what is inside on to RabbitMQ. It returns the listener's port. The
// configuration is asked for at each handshake, so that a test can change it.
func terminate(t *testing.T, config func() *tls.Config) (port string) {
	t.Helper()
	target := rabbittest.Shared(t).Addr()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() { listener.Close(); work.Wait() })
	work.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() { pass(tls.Server(client, config()), target) })
		}
	})
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port
}

func pass(client *tls.Conn, target string) {
	defer client.Close()
	if client.Handshake() != nil {
		io.Copy(io.Discard, client.NetConn()) // closing earlier would reset, and the alert might be lost
		return
	}
	broker, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	var copies sync.WaitGroup
	copies.Go(func() { io.Copy(broker, client); broker.Close() })
	copies.Go(func() { io.Copy(client, broker); client.Close() })
	copies.Wait()
}

// openTLS opens and closes a session on localhost:port with the URL's parameters.
func openTLS(t *testing.T, port string, parameters url.Values) error {
	t.Helper()
	e, err := ParseEndpoint("amqps://localhost:" + port + "?" + parameters.Encode())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Open(ctx, Plan{Endpoints: []Endpoint{e}, Name: t.Name()}, 1, 0)
	if err != nil {
		return err
	}
	if err := s.Probe(ctx); err != nil {
		t.Error(err)
	}
	return s.Close(ctx)
}

func TestTLS(t *testing.T) {
	authority, foreign := newAuthority(t), newAuthority(t)
	ca, otherCA := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "other.pem")
	authority.writeTo(t, ca)
	foreign.writeTo(t, otherCA)
	certificate, key := pairFiles(t, authority.issue(t, "client", time.Hour))
	strangerCertificate, strangerKey := pairFiles(t, foreign.issue(t, "client", time.Hour))

	plain := &tls.Config{Certificates: []tls.Certificate{authority.issue(t, "localhost", time.Hour)}}
	demanding := plain.Clone()
	demanding.ClientAuth, demanding.ClientCAs = tls.RequireAndVerifyClientCert, authority.pool()
	demanding12 := demanding.Clone()
	demanding12.MaxVersion = tls.VersionTLS12
	elsewhere := &tls.Config{Certificates: []tls.Certificate{authority.issue(t, "elsewhere", time.Hour)}}
	expired := &tls.Config{Certificates: []tls.Certificate{authority.issue(t, "localhost", -time.Hour)}}
	old := plain.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11

	with := func(pairs ...string) url.Values {
		values := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return values
	}
	tests := []struct {
		name       string
		server     *tls.Config
		parameters url.Values
		want       Class // "" for success
	}{
		{"trusted", plain, with("cacertfile", ca), ""},
		{"the system's authorities only", plain, with(), TLS},
		{"another authority", plain, with("cacertfile", otherCA), TLS},
		{"another name", elsewhere, with("cacertfile", ca), TLS},
		{"another name, expected", elsewhere, with("cacertfile", ca, "server_name_indication", "elsewhere"), ""},
		{"expired", expired, with("cacertfile", ca), TLS},
		{"TLS 1.1 only", old, with("cacertfile", ca), TLS},
		{"client certificate given", demanding, with("cacertfile", ca, "certfile", certificate, "keyfile", key), ""},
		{"client certificate given, TLS 1.2", demanding12, with("cacertfile", ca, "certfile", certificate, "keyfile", key), ""},
		{"client certificate missing", demanding, with("cacertfile", ca), TLS},
		{"client certificate missing, TLS 1.2", demanding12, with("cacertfile", ca), TLS},
		{"client certificate of a stranger", demanding, with("cacertfile", ca, "certfile", strangerCertificate, "keyfile", strangerKey), TLS},
		{"no such file", plain, with("cacertfile", ca+"x"), Unknown},
		{"certificate without key", demanding, with("cacertfile", ca, "certfile", certificate), Unknown},
		{"no PEM", plain, with("cacertfile", "tls_test.go"), Unknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := openTLS(t, terminate(t, func() *tls.Config { return test.server }), test.parameters)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Class != test.want {
				t.Errorf("got %v, want class %s", err, test.want)
			}
		})
	}
	t.Run("no TLS there", func(t *testing.T) {
		_, port, _ := net.SplitHostPort(rabbittest.Shared(t).Addr())
		err := openTLS(t, port, with("cacertfile", ca))
		if class, _ := Classify(err); class != TLS {
			t.Errorf("got %v, want class %s", err, TLS)
		}
	})
}

func TestTLSFilesAreReadAtEachDial(t *testing.T) {
	before, after := newAuthority(t), newAuthority(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	parameters := url.Values{"cacertfile": {ca}}
	var mu sync.Mutex
	serving := before.issue(t, "localhost", time.Hour)
	port := terminate(t, func() *tls.Config {
		mu.Lock()
		defer mu.Unlock()
		return &tls.Config{Certificates: []tls.Certificate{serving}}
	})

	before.writeTo(t, ca)
	if err := openTLS(t, port, parameters); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	serving = after.issue(t, "localhost", time.Hour)
	mu.Unlock()
	if class, _ := Classify(openTLS(t, port, parameters)); class != TLS {
		t.Errorf("the new certificate with the old file: class %s", class)
	}
	after.writeTo(t, ca)
	if err := openTLS(t, port, parameters); err != nil {
		t.Errorf("with the new file: %v", err)
	}
}

func TestTLSFuncIsHardenedAndLeftAlone(t *testing.T) {
	config := &tls.Config{MinVersion: tls.VersionTLS10}
	got := hardened(config, Endpoint{host: "h"})
	if got.MinVersion != tls.VersionTLS12 || got.ServerName != "h" {
		t.Errorf("version %x, name %q", got.MinVersion, got.ServerName)
	}
	if config.MinVersion != tls.VersionTLS10 || config.ServerName != "" {
		t.Error("the caller's configuration was changed")
	}
	named := hardened(&tls.Config{MinVersion: tls.VersionTLS13, ServerName: "n"}, Endpoint{host: "h"})
	if named.MinVersion != tls.VersionTLS13 || named.ServerName != "n" {
		t.Errorf("version %x, name %q", named.MinVersion, named.ServerName)
	}
	if hardened(nil, Endpoint{host: "h"}).ServerName != "h" {
		t.Error("no name is verified without a configuration")
	}
}
