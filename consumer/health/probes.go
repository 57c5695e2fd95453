package health

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/everhop/everhop/consumer"
)

// The checks of the probes, each the code of a reason.
var (
	readyChecks = []string{
		consumer.ReasonNotStarted, consumer.ReasonConnecting, consumer.ReasonReviving, consumer.ReasonStopping,
		consumer.ReasonStopped, consumer.ReasonPaused, consumer.ReasonBreaker, consumer.ReasonApart, consumer.ReasonGivenUp,
	}
	aliveChecks = []string{consumer.ReasonStuck, consumer.ReasonStopHang, consumer.ReasonFailed}
)

// livez answers 200 unless the process should be restarted. An outage is no reason for that.
func (s *Server) livez(w http.ResponseWriter, r *http.Request) {
	probe(w, r, "livez", aliveChecks, s.status().NotAlive, nil)
}

// readyz answers 200 while everything is consumed, but for what Options.ReadyWhile permits.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	probe(w, r, "readyz", readyChecks, s.status().NotReady, s.options.ReadyWhile)
}

// probe answers as Kubernetes' own probes do: "ok", or 503 with what has failed; with verbose in the query each check.
// What exclude names there does not count.
func probe(w http.ResponseWriter, r *http.Request, name string, checks []string, failed []consumer.Reason, excluded []string) {
	query := r.URL.Query()
	excluded = append(slices.Clone(excluded), query["exclude"]...)
	var lines strings.Builder
	passed := true
	for _, check := range codes(checks, failed) {
		i := slices.IndexFunc(failed, func(reason consumer.Reason) bool { return reason.Code == check })
		switch {
		case slices.Contains(excluded, check):
			fmt.Fprintf(&lines, "[+]%s excluded: ok\n", check)
		case i < 0:
			fmt.Fprintf(&lines, "[+]%s ok\n", check)
		default:
			passed = false
			fmt.Fprintf(&lines, "[-]%s failed: %s\n", check, oneLine(textOf(failed[i])))
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	switch {
	case !passed:
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, lines.String()+name+" check failed\n")
	case query.Has("verbose"):
		_, _ = io.WriteString(w, lines.String()+name+" check passed\n")
	default:
		_, _ = io.WriteString(w, "ok")
	}
}

// codes returns the checks, and behind them codes of reasons that are none of them.
func codes(checks []string, failed []consumer.Reason) []string {
	checks = slices.Clone(checks)
	for _, reason := range failed {
		if !slices.Contains(checks, reason.Code) {
			checks = append(checks, reason.Code)
		}
	}
	return checks
}

// textOf names the queue that it is about.
func textOf(r consumer.Reason) string {
	if r.Queue == "" {
		return r.Text
	}
	return r.Queue + ": " + r.Text
}

// oneLine keeps text from outside from looking like a check.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
