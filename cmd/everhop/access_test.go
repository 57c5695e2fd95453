package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
)

// identity is a certificate that signs itself, for a server and for a client, in files.
type identity struct {
	certificate, key string // files
	pair             tls.Certificate
}

func newIdentity(t *testing.T, name string) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	id := &identity{certificate: filepath.Join(dir, name+".pem"), key: filepath.Join(dir, name+".key")}
	writeFile(t, id.certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, id.key, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})))
	if id.pair, err = tls.LoadX509KeyPair(id.certificate, id.key); err != nil {
		t.Fatal(err)
	}
	return id
}

func (id *identity) pool(t *testing.T) *x509.CertPool {
	t.Helper()
	certificate, err := x509.ParseCertificate(id.pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return pool
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// overTLS puts TLS in front of a broker, and returns the URL of that.
func overTLS(t *testing.T, server *brokertest.Server, config *tls.Config) string {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		work.Wait()
	})
	work.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer client.Close()
				broker, err := net.Dial("tcp", server.Addr())
				if err != nil {
					return
				}
				work.Go(func() {
					io.Copy(broker, client)
					broker.Close()
				})
				io.Copy(client, broker)
			})
		}
	})
	return "amqps://guest:guest@" + listener.Addr().String() + "/"
}

// Consume and publish get to a broker that wants a certificate, and whose own names another host.
func TestTLSFlags(t *testing.T) {
	broker, client := newIdentity(t, "broker.test"), newIdentity(t, "client.test")
	server := oneQueue(t)
	url := overTLS(t, server, &tls.Config{
		Certificates: []tls.Certificate{broker.pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: client.pool(t),
	})
	flags := []string{
		"--max-revive-attempts", "1", "--url", url, "--queue", "q", "--tls-ca", broker.certificate, "--tls-server-name", "broker.test",
		"--tls-cert", client.certificate, "--tls-key", client.key,
	}
	if status, _, stderr := publishes(t, "secured", append([]string{"publish"}, flags...)...); status != 0 {
		t.Fatal(stderr)
	}
	status, stdout, stderr := inProcess(t, append([]string{"consume", "--until-empty"}, flags...)...)
	if status != 0 || stdout != "secured\n" {
		t.Errorf("exit status %d, %q\n%s", status, stdout, stderr)
	}
	// Without its name, or signed by somebody else, it is not the broker.
	for _, flags := range []string{"--tls-ca " + broker.certificate, "--tls-server-name broker.test --tls-ca " + client.certificate} {
		status, stdout, stderr := inProcess(t, append(strings.Fields("consume --max-revive-attempts 1 --count 1 --queue q --url "+url), strings.Fields(flags)...)...)
		if status != 1 || stdout != "" || !strings.Contains(stderr, "certificate") {
			t.Errorf("%s: exit status %d, %q\n%s", flags, status, stdout, stderr)
		}
	}
}

// A password that was changed is read when it connects again.
func TestPasswordFile(t *testing.T) {
	server := oneQueue(t, "1")
	server.SetPassword("shop", "first")
	file := filepath.Join(t.TempDir(), "password")
	writeFile(t, file, "first\n")
	url := strings.Replace(server.URL(), "guest:guest@", "shop@", 1)
	flags := []string{"--url", url, "--queue", "q", "--password-file", file}
	if status, _, stderr := publishes(t, "2", append([]string{"publish"}, flags...)...); status != 0 {
		t.Fatal(stderr)
	}
	p := prepareAlone(t, append([]string{"consume", "--count", "3"}, flags...)...).start()
	rabbittest.Eventually(t, patience, "two messages", func() bool { return p.stdout.String() == "1\n2\n" })
	writeFile(t, file, "second")
	server.SetPassword("shop", "second")
	<-server.Inject(brokertest.Now(), brokertest.Reset()).Played
	p.logs(`"trigger":"Revived"`)
	if err := server.Publish("q", "3"); err != nil {
		t.Fatal(err)
	}
	p.wait(0)
	if strings.Contains(p.stderr.String(), "second") {
		t.Errorf("the password is told:\n%s", &p.stderr)
	}
}

// Each file that is no good is told, once, at the start.
func TestAccessFiles(t *testing.T) {
	good, other := newIdentity(t, "a"), newIdentity(t, "b")
	dir := t.TempDir()
	garbage, empty, null := filepath.Join(dir, "garbage"), filepath.Join(dir, "empty"), filepath.Join(dir, "null")
	writeFile(t, garbage, "no certificate")
	writeFile(t, empty, "\n")
	writeFile(t, null, "a\x00b")
	broken := filepath.Join(dir, "broken.pem")
	writeFile(t, broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	tests := []struct{ name, flags, want string }{
		{"no password file", "--password-file /no/pw", "--password-file: open /no/pw: no such file or directory"},
		{"empty password file", "--password-file " + empty, "--password-file: " + empty + ": empty"},
		{"password with NUL", "--password-file " + null, "--password-file: " + null + ": a NUL, which no password has"},
		{"no authority", "--tls-ca /no/ca", "--tls-ca: open /no/ca: no such file or directory"},
		{"bad authority", "--tls-ca " + garbage, "--tls-ca: " + garbage + ": no certificate in it, in PEM"},
		{"key for an authority", "--tls-ca " + good.key, "--tls-ca: " + good.key + ": no certificate in it, in PEM"},
		{"broken authority", "--tls-ca " + broken, "--tls-ca: CA file " + broken + " holds no PEM certificate"},
		{"no certificate", "--tls-cert /no/c --tls-key " + good.key, "--tls-cert: open /no/c: no such file or directory"},
		{"no key", "--tls-key /no/k --tls-cert " + good.certificate, "--tls-key: open /no/k: no such file or directory"},
		{"certificate for a key", "--tls-key " + good.certificate + " --tls-cert " + good.certificate, "--tls-key: " + good.certificate + ": no private key in it, in PEM"},
		{"key of another", "--tls-cert " + good.certificate + " --tls-key " + other.key,
			"--tls-cert " + good.certificate + " with --tls-key " + other.key + ": tls: private key does not match public key"},
		{"all of them", "--password-file /no/pw --tls-ca /no/ca --tls-cert /no/c --tls-key /no/k",
			"--password-file: open /no/pw: no such file or directory; --tls-ca: open /no/ca: no such file or directory; " +
				"--tls-cert: open /no/c: no such file or directory; --tls-key: open /no/k: no such file or directory"},
	}
	for _, tt := range tests {
		for _, command := range []string{"consume", "publish"} {
			t.Run(tt.name+"/"+command, func(t *testing.T) {
				args := append([]string{command, "--queue", "q", "--url", "amqps://u@h"}, strings.Fields(tt.flags)...)
				if status, stdout, stderr := inProcess(t, args...); status != 1 || stdout != "" || stderr != "everhop: "+tt.want+"\n" {
					t.Errorf("exit status %d, stdout %q, stderr\n%s\nwant 1 and\n%s", status, stdout, stderr, tt.want)
				}
			})
		}
	}
}

func TestAccessRefuses(t *testing.T) {
	tests := []struct{ flags, want string }{
		{"--password-file=", "--password-file: empty"},
		{"--tls-server-name=", "--tls-server-name: empty"},
		{"--password-file x --url amqp://a:b@g", "--password-file: the URLs name several users"},
		{"--url amqps://g --tls-ca x", "--tls-ca: a URL begins with amqp://, without TLS; write amqps://"},
		{"--tls-server-name x", "--tls-server-name: a URL begins with amqp://, without TLS; write amqps://"},
		{"--tls-cert x", "--tls-key is missing: a certificate is of no use without its key"},
		{"--tls-key x", "--tls-cert is missing: a key is of no use without its certificate"},
	}
	for _, tt := range tests {
		for _, command := range []string{"consume", "publish"} {
			t.Run(tt.flags+"/"+command, func(t *testing.T) { refuses(t, command, "--queue q "+tt.flags, tt.want) })
		}
	}
	status, _, stderr := inProcess(t, strings.Fields("consume --queue q --tls-ca x --url amqps://h?heartbeat=5&certfile=c&keyfile=k")...)
	if want := "everhop: --tls-ca: the URL has certfile, too; say it in one place; see 'everhop consume --help'\n"; status != 2 || stderr != want {
		t.Errorf("exit status %d, %s", status, stderr)
	}
}
