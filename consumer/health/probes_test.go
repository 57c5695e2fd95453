package health_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
)

func fixed(d health.Document) func() health.Document { return func() health.Document { return d } }

func get(h http.Handler, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

const allReady = `[+]not_started ok
[+]connecting ok
[+]reviving ok
[+]stopping ok
[+]stopped ok
[+]paused ok
[+]breaker ok
[+]apart ok
[+]given_up ok
`

func TestProbes(t *testing.T) {
	paused := consumer.Reason{Code: consumer.ReasonPaused, Text: "paused by the caller", Queues: 2, Queue: "orders\n[+]forged ok"}
	reviving := consumer.Reason{Code: consumer.ReasonReviving, Text: "connection refused"}
	stuck := consumer.Reason{Code: consumer.ReasonStuck, Text: "nothing for 31 s"}
	const isPaused = "[-]paused failed: orders [+]forged ok: paused by the caller\n"
	for _, c := range []struct {
		target    string
		not       []consumer.Reason
		permitted []string
		code      int
		want      string
	}{
		{"/readyz", nil, nil, 200, "ok"},
		{"/readyz?verbose", nil, nil, 200, allReady + "readyz check passed\n"},
		{"/readyz", []consumer.Reason{paused}, nil, 503, strings.Replace(allReady, "[+]paused ok\n", isPaused, 1) + "readyz check failed\n"},
		{"/readyz", []consumer.Reason{paused}, []string{consumer.ReasonPaused}, 200, "ok"},
		{"/readyz?exclude=paused", []consumer.Reason{paused}, nil, 200, "ok"},
		{"/readyz?verbose", []consumer.Reason{paused}, []string{consumer.ReasonPaused}, 200,
			strings.Replace(allReady, "[+]paused ok\n", "[+]paused excluded: ok\n", 1) + "readyz check passed\n"},
		{"/readyz", []consumer.Reason{paused, reviving}, []string{consumer.ReasonPaused}, 503, strings.NewReplacer(
			"[+]paused ok\n", "[+]paused excluded: ok\n", "[+]reviving ok\n", "[-]reviving failed: connection refused\n").Replace(allReady) + "readyz check failed\n"},
		{"/readyz", []consumer.Reason{{Code: "tired", Text: "it is"}}, nil, 503, allReady + "[-]tired failed: it is\nreadyz check failed\n"},
		{"/livez", []consumer.Reason{stuck}, nil, 503, "[-]stuck failed: nothing for 31 s\n[+]stop_hang ok\n[+]failed ok\nlivez check failed\n"},
		{"/livez?verbose", nil, nil, 200, "[+]stuck ok\n[+]stop_hang ok\n[+]failed ok\nlivez check passed\n"},
		{"/livez", nil, nil, 200, "ok"},
	} {
		d := made(morning, 1)
		if strings.HasPrefix(c.target, "/livez") {
			d.NotAlive, d.NotReady = c.not, []consumer.Reason{reviving} // which is no reason for a restart
		} else {
			d.NotReady, d.NotAlive = c.not, []consumer.Reason{stuck}
		}
		w := get(health.NewServer(fixed(d), health.NewEvents(), health.Options{ReadyWhile: c.permitted}), c.target)
		if w.Code != c.code || w.Body.String() != c.want {
			t.Errorf("%s with %v: %d\n%s\nwant %d\n%s", c.target, c.not, w.Code, w.Body, c.code, c.want)
		}
	}
}

func TestMethods(t *testing.T) {
	server := httptest.NewServer(health.NewServer(fixed(made(morning, 1)), health.NewEvents(), health.Options{}))
	defer server.Close()
	for _, path := range []string{"/livez", "/readyz", "/status", "/status.schema.json", "/history", "/events", "/"} {
		for method, want := range map[string]int{http.MethodHead: 200, http.MethodPost: 405, http.MethodDelete: 405} {
			r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%s %s: %d, want %d", method, path, response.StatusCode, want)
			}
			if response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %s: headers %v", method, path, response.Header)
			}
		}
	}
	if w := get(health.NewServer(fixed(made(morning, 1)), health.NewEvents(), health.Options{}), "/nothing"); w.Code != 404 {
		t.Errorf("what is not there: %d", w.Code)
	}
}
