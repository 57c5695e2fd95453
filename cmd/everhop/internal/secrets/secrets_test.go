package secrets

import (
	"strings"
	"testing"
)

func TestTakeArgs(t *testing.T) {
	tests := []struct{ arg, left string }{
		{"consume", "consume"},
		{"amqp://host/", "amqp://host/"},
		{"amqp://u:pw@host/", "amqp://****@host/"},
		{"--url=AMQPS://u:pw@host/", "--url=AMQPS://****@host/"},
		{"amqp://u:p@w/ x@host", "amqp://********@host"},
		{"amqp://u:p@a,amqp://u:p@b", "amqp://****************@b"},
		{"echo me@example.org", "echo me@example.org"},
		{"https://u:pw@host/", "https://****@host/"},
		{"--http=http://u:pw@host/", "--http=http://****@host/"},
		{"curl http://host/ -d a@b", "curl http://host/ -d a@b"},
	}
	for _, tt := range tests {
		argv := []string{strings.Clone(tt.arg)} // writable, as the process's arguments are
		if args := TakeArgs(argv); args[0] != tt.arg || argv[0] != tt.left {
			t.Errorf("%q: taken %q, left %q, want %q", tt.arg, args[0], argv[0], tt.left)
		}
	}
}
