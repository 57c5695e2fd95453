package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker/brokertest"
)

// Doctor, peek and parked get to the broker by the files that consume is given.
func TestLooksWithFiles(t *testing.T) {
	server := brokertest.NewServer(t, brokertest.Config{TLS: true, Users: map[string]string{"shop": "secret"}})
	if err := server.DeclareQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	if err := server.Publish("q", "a"); err != nil {
		t.Fatal(err)
	}
	ca, password := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "password")
	writeFile(t, ca, string(server.AuthorityPEM()))
	writeFile(t, password, "secret\n")
	_, address, _ := strings.Cut(server.URL(), "@")
	url := "amqps://shop@" + address
	for _, command := range [][]string{{"doctor", "--queue", "q"}, {"peek", "q"}, {"parked", "list", "q"}} {
		status, stdout, stderr := inProcess(t, append(command, "--url", url, "--tls-ca", ca, "--password-file", password)...)
		if status > 1 || strings.Contains(stdout, "broken") { // doctor warns of a queue without a consumer
			t.Errorf("%v: exit status %d; %s%s", command, status, stdout, stderr)
		}
		if status, _, _ := inProcess(t, append(command, "--url", url, "--tls-ca", ca)...); status == 0 {
			t.Errorf("%v gets in without the password", command)
		}
		if status, _, stderr := inProcess(t, append(command, "--url", url, "--password-file", password+"x")...); status != 1 || !strings.Contains(stderr, password+"x") {
			t.Errorf("%v: exit status %d; %s", command, status, stderr)
		}
	}
}
