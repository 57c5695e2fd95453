package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
)

// leastPosted is how many messages a second `everhop consume --http` has to hand to a local server.
const leastPosted = 5000

// BenchmarkConsumeHTTP measures `everhop consume --http`, 32 messages at once, from its start to its end, against a server
// in this process that reads the body. EVERHOP_BENCH_MESSAGES and EVERHOP_BENCH_ROUNDS say how much is measured.
func BenchmarkConsumeHTTP(b *testing.B) {
	messages, rounds := benchSetting(b, "MESSAGES", 50_000), benchSetting(b, "ROUNDS", 3)
	node := rabbittest.Shared(b)
	queue := newQueue(b)
	program := filepath.Join(b.TempDir(), "everhop")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	var posted, connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); n == benchBody && err == nil {
			posted.Add(1)
		}
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	var rates []float64
	for b.Loop() {
		for range rounds {
			publishMany(b, queue, slices.Repeat([]string{strings.Repeat("x", benchBody)}, messages))
			posted.Store(0)
			connections.Store(0)
			cmd := exec.Command(program, "consume", "--queue", queue, "--http", server.URL, "--concurrency", "32", "--count", strconv.Itoa(messages))
			cmd.Env = append(os.Environ(), urlVariable+"="+node.URL())
			begin := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
			rates = append(rates, float64(messages)/time.Since(begin).Seconds())
			if posted.Load() != int64(messages) || connections.Load() > 2*32 {
				b.Errorf("%d messages came, want %d, over %d connections", posted.Load(), messages, connections.Load())
			}
			holds(b, queue, 0)
		}
	}
	slices.Sort(rates)
	median := rates[len(rates)/2]
	fmt.Printf("\n%d messages of %d bytes, 32 at once: %.0f/s of %.0f\n\n", messages, benchBody, median, rates)
	b.ReportMetric(median, "messages/s")
	if median < leastPosted {
		b.Errorf("%.0f messages a second, and it should be %d", median, leastPosted)
	}
}
