package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
)

// madeDocument is one of a consumer's that is not well.
func madeDocument(t *testing.T, name string, changes ...func(*health.Document)) []byte {
	t.Helper()
	text, err := os.ReadFile("../../consumer/health/testdata/documents/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	doc := new(health.Document)
	if err := json.Unmarshal(text, doc); err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		change(doc)
	}
	text, err = json.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// answers listens, and answers with one text.
func answers(t *testing.T, status int, text string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// The worst of several is the exit status, and all is said of each.
func TestStatus(t *testing.T) {
	ready := answers(t, 200, string(madeDocument(t, "poison")))
	away := answers(t, 200, string(madeDocument(t, "away")))
	stuck := answers(t, 200, string(madeDocument(t, "frozen", func(doc *health.Document) {
		doc.Alive, doc.NotAlive = false, []consumer.Reason{{Code: consumer.ReasonStuck, Text: "nothing for 31 s"}}
	})))
	other, odd, wrong := answers(t, 404, "nothing here"), answers(t, 200, "<html>"), answers(t, 200, "{}")
	nobody := rabbittest.DeadPort(t)
	tests := []struct {
		name           string
		args           []string
		status         int
		stdout, stderr string
	}{
		{"ready", []string{ready}, 0, "! invoices: POISON: 5 messages parked", ""},
		{"with path", []string{ready + "/status"}, 0, "POISON", ""},
		{"without scheme", []string{strings.TrimPrefix(ready, "http://")}, 0, "POISON", ""},
		{"not ready", []string{ready, away}, 1, "!! shop is NOT READY: none of 10 queues is consumed\n   !! BROKER AWAY", ""},
		{"not alive", []string{away, stuck, ready}, 3, "!! shop is NOT ALIVE", ""},
		{"nobody", []string{nobody}, 3, "", "everhop: " + nobody + ": connect: connection refused; does the consumer run, with --listen " + nobody},
		{"one of two", []string{nobody, ready}, 3, "POISON", "connection refused"},
		{"another server", []string{other}, 3, "", "/status answers 404 Not Found; is that a consumer's health handler"},
		{"no JSON", []string{odd}, 3, "", `the answer is no status of a consumer (invalid character '<' looking for beginning of value): "<html>"`},
		{"other JSON", []string{wrong}, 3, "", `the answer is no status of a consumer (it has no state): "{}"`},
		{"JSON", []string{"--json", away}, 1, `"name":"shop"`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, stdout, stderr := inProcess(t, append([]string{"status"}, tt.args...)...)
			if status != tt.status || !strings.Contains(stdout, tt.stdout) || !strings.Contains(stderr, tt.stderr) ||
				(tt.stdout == "") != (stdout == "") || (tt.stderr == "") != (stderr == "") || strings.Count(stderr, "\n") > 1 {
				t.Errorf("exit status %d, want %d; stdout\n%s\nstderr\n%s", status, tt.status, stdout, stderr)
			}
		})
	}
}

// Each document is a line, and what it was.
func TestStatusJSON(t *testing.T) {
	sent := madeDocument(t, "away")
	url := answers(t, 200, string(sent))
	_, stdout, _ := inProcess(t, "status", "--json", url, url)
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	var got, want any
	if err := json.Unmarshal(sent, &want); err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if err := json.Unmarshal([]byte(line), &got); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: %s", err, line)
		}
	}
}

// A consumer that stands still is not waited for.
func TestStatusTimeout(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // it accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, command := range []string{"status", "health"} {
		_, stdout, stderr := inProcess(t, command, "--timeout", "50ms", listener.Addr().String())
		if stdout != "" || !strings.Contains(stderr, "no answer within 50ms; the process may stand still") {
			t.Errorf("%s: %q, %q", command, stdout, stderr)
		}
	}
}

// Without a terminal it prints page after page.
func TestStatusWatchPrints(t *testing.T) {
	url := answers(t, 200, string(madeDocument(t, "poison")))
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	var out transcript
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"status", "-w", "--interval", "20ms", url, rabbittest.DeadPort(t)}, nil, &out, io.Discard)
	}()
	rabbittest.Eventually(t, patience, "three pages", func() bool {
		return strings.Count(out.String(), "POISON") >= 3 && strings.Count(out.String(), "DOES NOT ANSWER") >= 3
	})
	end()
	if status := <-done; status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestHealth(t *testing.T) {
	const failed = "[+]connecting ok\n[-]reviving failed: connection refused\n[-]apart failed: orders: gone\nreadyz check failed\n"
	well, ill, other := answers(t, 200, "ok"), answers(t, 503, failed), answers(t, 404, "no")
	nobody := rabbittest.DeadPort(t)
	tests := []struct {
		name   string
		args   []string
		status int
		stderr string
	}{
		{"alive", []string{well}, 0, ""},
		{"ready", []string{"--ready", well}, 0, ""},
		{"not ready", []string{"--ready", ill}, 1, "readyz: reviving failed: connection refused; apart failed: orders: gone\n"},
		{"another proxy", []string{answers(t, 503, "no healthy\nupstream")}, 1, "livez: no healthy upstream\n"},
		{"another server", []string{other}, 1, "/livez answers 404 Not Found; is that a consumer's health handler?\n"},
		{"nobody", []string{nobody}, 1, "connect: connection refused; does the consumer run, with --listen " + nobody + " or its handler there?\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, stdout, stderr := inProcess(t, append([]string{"health"}, tt.args...)...)
			want := ""
			if tt.stderr != "" {
				want = "everhop: " + strings.TrimPrefix(tt.args[len(tt.args)-1], "http://") + ": " + tt.stderr
			}
			if status != tt.status || stdout != "" || stderr != want {
				t.Errorf("exit status %d, stdout %q, stderr\n%s\nwant %d and\n%s", status, stdout, stderr, tt.status, want)
			}
		})
	}
}

// They ask for the path of what they are asked.
func TestHealthPaths(t *testing.T) {
	asked := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	defer server.Close()
	for args, want := range map[string]string{
		"health " + server.URL: "/livez", "health --ready " + server.URL: "/readyz",
		"health " + server.URL + "/internal/": "/internal/livez", "status " + server.URL + "/internal": "/internal/status",
	} {
		inProcess(t, strings.Fields(args)...)
		select {
		case got := <-asked:
			if got != want {
				t.Errorf("%s asks for %s", args, got)
			}
		case <-time.After(patience):
			t.Errorf("%s asks nobody", args)
		}
	}
}
