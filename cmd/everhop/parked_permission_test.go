package main

import (
	"strings"
	"testing"

	"github.com/everhop/everhop/broker/brokertest"
)

// Who may read a queue, and not configure it, may not count its messages on RabbitMQ 4.3, and is told what to do.
func TestPeekWithoutConfigure(t *testing.T) {
	for version, want := range map[string]string{"4.0": "", "4.3": "rabbitmqctl set_permissions"} {
		server := brokertest.NewServer(t, brokertest.Config{
			Version: version, Permissions: map[string]map[string]brokertest.Permissions{"guest": {"/": {Read: ".*"}}},
		})
		if err := server.DeclareQueue("q", nil); err != nil {
			t.Fatal(err)
		}
		if err := server.Publish("q", "a"); err != nil {
			t.Fatal(err)
		}
		status, stdout, stderr := inProcess(t, "peek", "q", "--url", server.URL())
		if (status == 0) != (want == "") || !strings.Contains(stderr, want) || (status == 0) != strings.Contains(stdout, "a") {
			t.Errorf("as %s: exit status %d; %s%s", version, status, stdout, stderr)
		}
	}
}
