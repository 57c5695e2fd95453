package main

import (
	"strings"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
)

// On a terminal it asks, and does nothing without a yes.
func TestParkedAsks(t *testing.T) {
	for _, tt := range []struct {
		typed  string
		status int
		left   int
	}{{"y\n", 0, 0}, {"n\n", 1, 2}, {"\n", 1, 2}} {
		server := parkedQueue(t, 2)
		tty, keys, screen, read := openKeyboard(t)
		p := prepareAlone(t, "parked", "retry", "q.parked", "--url", server.URL())
		p.cmd.Stdin, p.cmd.Stderr = tty, tty
		p.start()
		rabbittest.Eventually(t, patience, "it asks", func() bool { return strings.Contains(screen.String(), "Retry the messages in q.parked? [y/N]") })
		if _, err := keys.WriteString(tt.typed); err != nil {
			t.Fatal(err)
		}
		tty.Close()
		p.wait(tt.status)
		read()
		if got := len(server.Messages("q.parked")); got != tt.left {
			t.Errorf("%q: %d are left; want %d\n%s", tt.typed, got, tt.left, screen)
		}
	}
}
