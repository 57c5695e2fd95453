package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// All of it together: what becomes of messages that are handed to a server, which is away for a while.
func TestConsumeHTTP(t *testing.T) {
	server := brokertest.NewServer(t)
	if err := errors.Join(server.DeclareQueue("q", nil), server.Publish("q", "good", "bad", "later", "flaky", "good")); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	attempts := map[string][]string{}
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		is := string(body)
		attempts[is] = append(attempts[is], r.Header.Get("X-Everhop-Attempt"))
		first := len(attempts[is]) == 1
		switch {
		case is == "bad":
			http.Error(w, "no such order", http.StatusUnprocessableEntity)
		case is == "later" && first:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
		case is == "flaky" && first:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer there.Close()
	address := strings.Replace(there.URL, "://", "://user:secret@", 1)
	ctx, stop := context.WithCancel(t.Context())
	var stdout, stderr transcript
	ended := make(chan int, 1)
	args := strings.Fields("consume --queue q --attempts 2 --backoff 10ms --concurrency 2 --log-level debug --url " + server.URL() + " --http " + address)
	go func() { ended <- run(ctx, args, strings.NewReader(""), &stdout, &stderr) }()
	rabbittest.Eventually(t, patience, "all are handled", func() bool {
		q, _ := server.Queue("q")
		return q.Acknowledged == 5
	})
	stop()
	if status := <-ended; status != 0 || stdout.String() != "" || strings.Contains(stderr.String(), "secret") {
		t.Errorf("exit status %d, standard output %q; %s", status, &stdout, &stderr)
	}
	want := map[string][]string{"good": {"1", "1"}, "bad": {"1"}, "later": {"1", "2"}, "flaky": {"1", "2"}}
	if diff := cmp.Diff(want, attempts); diff != "" {
		t.Errorf("attempts:\n%s", diff)
	}
	parked := server.Messages("q.parked")
	if want := "POST " + there.URL + ": 422 Unprocessable Entity: no such order"; len(parked) != 1 || parked[0].Headers[consumer.HeaderError] != want {
		t.Errorf("parked: %v, want one with %q", parked, want)
	}
}

// A server that is away costs no attempts, and what waits is handled when it is back.
func TestConsumeHTTPAway(t *testing.T) {
	server := oneQueue(t, "1", "2", "3")
	away := rabbittest.DeadPort(t)
	var stdout, stderr transcript
	ended := make(chan int, 1)
	args := strings.Fields("consume --queue q --attempts 1 --count 3 --url " + server.URL() + " --http http://" + away)
	go func() { ended <- run(t.Context(), args, strings.NewReader(""), &stdout, &stderr) }()
	rabbittest.Eventually(t, patience, "it pauses", func() bool { return strings.Contains(stderr.String(), "to be paused") })
	var handled atomic.Int64
	back := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if n, _ := strconv.Atoi(r.Header.Get("X-Everhop-Attempt")); n == 1 {
			handled.Add(1)
		}
	}))
	back.Listener.Close()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", away)
	if err != nil {
		t.Fatal(err)
	}
	back.Listener = listener
	back.Start()
	defer back.Close()
	if status := <-ended; status != 0 || handled.Load() != 3 || len(server.Messages("q.parked")) > 0 {
		t.Errorf("exit status %d, %d handled at the first attempt; %s", status, handled.Load(), &stderr)
	}
}
