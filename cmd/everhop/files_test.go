package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that cannot be loaded ends the program at the start; later, a consumer waits for it.
func TestFilesInURL(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	if err := os.WriteFile(garbage, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, query, want string }{
		{"no CA file", "cacertfile=/no/ca.pem", "CA file: open /no/ca.pem: "},
		{"bad CA file", "cacertfile=" + garbage, "CA file " + garbage + " holds no PEM certificate\n"},
		{"no certificate", "certfile=/no/c.pem&keyfile=/no/k.pem", "client certificate: open /no/c.pem: "},
		{"bad certificate", "certfile=" + garbage + "&keyfile=" + garbage, "client certificate: tls: "},
		{"certificate without key", "certfile=" + garbage, "a client certificate needs both a certificate file and a key file\n"},
	}
	for _, tt := range tests {
		for _, command := range []string{"consume", "publish"} {
			t.Run(tt.name+"/"+command, func(t *testing.T) {
				status, stdout, stderr := inProcess(t, command, "--queue", "q", "--url", "amqps://u:pw@h?"+tt.query)
				want := "everhop: URL of h:5671: " + tt.want
				if status != 1 || stdout != "" || !strings.HasPrefix(stderr, want) || strings.Count(stderr, "\n") != 1 {
					t.Errorf("exit status %d, stdout %q, stderr\n%s\nwant 1 and\n%s", status, stdout, stderr, want)
				}
			})
		}
	}
}
