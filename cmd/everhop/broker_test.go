package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/cmd/everhop/internal/operator"
)

// A broker begins with a line, breaks over HTTP, and ends with its input.
func TestBroker(t *testing.T) {
	definitions := filepath.Join(t.TempDir(), "definitions.json")
	if err := os.WriteFile(definitions, []byte(`{"queues":[{"name":"q","vhost":"/","durable":true}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := prepare(t, "broker", "--definitions", definitions, "--behave-like", "3.10")
	input, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var ready brokerReady
	if err := json.NewDecoder(p.startPiped()).Decode(&ready); err != nil {
		t.Fatalf("%v; %s", err, p.stderr.String())
	}
	if ready.Version != "3.10" || ready.Authority != "" {
		t.Errorf("ready: %+v", ready)
	}
	p.logs("FOR TESTS ONLY")
	conn, err := amqp.Dial(ready.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclarePassive("q", true, false, false, false, nil); err != nil {
		t.Error(err)
	}
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	response, err := http.Post(ready.Control+"/faults", "application/json", strings.NewReader(`{"fault":"close-connection","code":320,"text":"so"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", response.Status, text)
	}
	if got := <-closed; got == nil || got.Code != 320 {
		t.Errorf("closed with %v", got)
	}
	input.Close()
	p.wait(0)
}

// With --tls it says whom to trust.
func TestBrokerTLS(t *testing.T) {
	p := prepare(t, "broker", "--tls")
	input, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var ready brokerReady
	if err := json.NewDecoder(p.startPiped()).Decode(&ready); err != nil {
		t.Fatalf("%v; %s", err, p.stderr.String())
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ready.Authority)) || !strings.HasPrefix(ready.URL, "amqps://") {
		t.Fatalf("ready: %+v", ready)
	}
	conn, err := amqp.DialTLS(ready.URL, &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	input.Close()
	p.wait(0)
}

// The help tells of all that the control can do.
func TestBrokerHelp(t *testing.T) {
	words := strings.FieldsFunc(newBroker().Long, func(r rune) bool { return !unicode.IsLetter(r) && r != '-' })
	for _, name := range slices.Concat(operator.Names(), operator.Actions()) {
		if !slices.Contains(words, name) {
			t.Errorf("no word of %s", name)
		}
	}
}

func TestBrokerRefuses(t *testing.T) {
	for flags, want := range map[string]string{
		"--definitions nowhere.json": "nowhere.json",
		"--behave-like 2.0":          "Config.Version",
		"--addr 192.0.2.1:1":         "listen",
		"--control 192.0.2.1:1":      "--control",
	} {
		status, _, stderr := inProcess(t, append([]string{"broker"}, strings.Fields(flags)...)...)
		if status != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit status %d, %s", flags, status, stderr)
		}
	}
}
