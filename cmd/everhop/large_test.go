package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
)

// A large file over a slow line takes its time, and the connection stays. With EVERHOP_TEST_LARGE it is 100 MB over 1 MB/s,
// which make large sets.
func TestPublishLargeFile(t *testing.T) {
	queue := newQueue(t)
	rabbittest.NeedsControl(t)
	size, rate := 20_000_000, 10_000_000
	if os.Getenv("EVERHOP_TEST_LARGE") != "" {
		size, rate = 100_000_000, 1_000_000
	}
	node := rabbittest.Shared(t)
	before, err := node.MaxMessageSize(t.Context(), 2*size)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := node.MaxMessageSize(t.Context(), before); err != nil {
			t.Error(err)
		}
	}()
	proxy, err := rabbittest.NewProxy(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	proxy.Limit(rabbittest.ToBroker, rate)
	file := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p := prepareAlone(t, "publish", "--url", proxy.URL(node.URL()), "--queue", queue, "--file", file, "--log-level", "info").start()
	rabbittest.Eventually(t, time.Duration(3*size/rate)*time.Second+patience, "it has been published", func() bool {
		return strings.Contains(p.stderr.String(), "\n1 message confirmed\n")
	})
	p.wait(0)
	took := time.Since(began)
	if took < time.Duration(size/rate)*time.Second {
		t.Errorf("it took %v: the line is not slow", took)
	}
	t.Logf("%d bytes over %d a second took %v", size, rate, took)
	if said := p.stderr.String(); strings.Contains(said, "Reviving") || strings.Contains(said, "Failed") {
		t.Errorf("it was not one connection:\n%s", said)
	}
	holds(t, queue, 1)
}
