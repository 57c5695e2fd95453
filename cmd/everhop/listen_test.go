package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/glass"
)

func TestListenAddress(t *testing.T) {
	for text, want := range map[string]string{
		"9090": "127.0.0.1:9090", ":9090": "127.0.0.1:9090", "0": "127.0.0.1:0", "0.0.0.0:9090": "0.0.0.0:9090",
		"[::]:9090": "[::]:9090", "localhost:9090": "localhost:9090",
		"": "", "host": "", "host:": "", "host:65536": "", ":65536": "", "host:http": "", "http://h:1": "", "::1:9090": "", "-1": "",
	} {
		var got string
		if err := listenAddress(&got).Set(text); (err == nil) != (want != "") || got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

var shownAt = regexp.MustCompile(`"address":"([\d.:]+)"`)

// What is consumed can be seen, from the first moment to the last; readiness ends first.
func TestConsumeListen(t *testing.T) {
	server := oneQueue(t, "1")
	dir := t.TempDir()
	p := prepareAlone(t, "consume", "--queue", "q", "--url", server.URL(), "--listen", "0", "--name", "orders",
		"--exec", "touch "+dir+"/begun; while ! test -e "+dir+"/go; do sleep 0.05; done").start()
	p.logs(`"address":"127.0.0.1:`)
	url := shownAt.FindStringSubmatch(p.stderr.String())[1]
	source, err := glass.ParseSource(url)
	if err != nil {
		t.Fatal(err)
	}
	asks := func(status int, args ...string) (stdout string) {
		t.Helper()
		got, stdout, stderr := inProcess(t, append(args, url)...)
		if got != status {
			t.Errorf("%v: exit status %d, want %d; %s", args, got, status, stderr)
		}
		return stdout
	}
	rabbittest.Eventually(t, patience, "it is ready", func() bool {
		status, _, _ := inProcess(t, "health", "--ready", url)
		return status == 0
	})
	rabbittest.Eventually(t, patience, "its command runs", func() bool { _, err := os.Stat(dir + "/begun"); return err == nil })
	if page := asks(0, "status"); !strings.Contains(page, "ok orders is ready: 1 queue consumed") || !regexp.MustCompile(`\n   q  +consuming .* 1 of 1 `).MatchString(page) {
		t.Error(page)
	}
	for path, want := range map[string]string{
		"": "<html", "metrics": "\neverhop_", "status.schema.json": "$schema", "history": "{",
	} {
		status, body, err := source.Get(t.Context(), path, patience)
		if err != nil || status != 200 || !strings.Contains(string(body), want) {
			t.Errorf("/%s: %d, %v, %.200s", path, status, err, body)
		}
	}
	p.signal(syscall.SIGTERM)
	p.logs("stopping")
	rabbittest.Eventually(t, patience, "it is not ready", func() bool {
		status, _, stderr := inProcess(t, "health", "--ready", url)
		return status == 1 && strings.Contains(stderr, "readyz: stopping failed")
	})
	asks(0, "health") // it is alive, and its command at work
	asks(1, "status")
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.wait(0)
	asks(3, "status")
	asks(1, "health")
}

// With a journal the page has what was before this process, too.
func TestConsumeListenRemembers(t *testing.T) {
	server := oneQueue(t, "1", "2")
	dir := filepath.Join(t.TempDir(), "journal")
	args := []string{"consume", "--queue", "q", "--url", server.URL(), "--exec", "true", "--journal", dir}
	if status, _, stderr := inProcess(t, append(args, "--count", "1")...); status != 0 {
		t.Fatal(stderr)
	}
	p := prepareAlone(t, append(args, "--listen", "0")...).start()
	p.logs(`"address":"127.0.0.1:`)
	source, err := glass.ParseSource(shownAt.FindStringSubmatch(p.stderr.String())[1])
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]int{}
	rabbittest.Eventually(t, patience, "it consumes", func() bool {
		var past struct {
			Edges []struct {
				Trigger string
				Count   int
			}
		}
		_, body, err := source.Get(t.Context(), "history", patience)
		if err != nil || json.Unmarshal(body, &past) != nil {
			t.Fatalf("%v: %s", err, body)
		}
		clear(taken)
		for _, e := range past.Edges {
			taken[e.Trigger] += e.Count
		}
		return taken["Connected"] == 2
	})
	if taken["Stop"] != 1 || taken["Connect"] != 2 {
		t.Errorf("taken: %v", taken)
	}
	p.signal(syscall.SIGTERM)
	p.wait(0)
}

// A port that is taken is told before anything is consumed.
func TestConsumeListenTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	server := oneQueue(t, "1")
	address := taken.Addr().String()
	for address, want := range map[string]string{
		address:         "--listen " + address + ": another process listens there; end it, or choose another port\n",
		"192.0.2.1:904": "--listen 192.0.2.1:904: ",
	} {
		status, stdout, stderr := inProcess(t, "consume", "--queue", "q", "--url", server.URL(), "--listen", address)
		if status != 1 || stdout != "" || !strings.HasPrefix(stderr, "everhop: "+want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("exit status %d, %q, %q", status, stdout, stderr)
		}
	}
	if q, _ := server.Queue("q"); q.Ready != 1 {
		t.Errorf("%+v", q)
	}
}
