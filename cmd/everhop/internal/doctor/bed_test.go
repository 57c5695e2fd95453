package doctor

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/cmd/everhop/internal/scripts"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// bed is where a fault is prepared: a healthy broker and a healthy machine.
type bed struct {
	*testing.T
	server  *brokertest.Server
	config  Config
	url     string
	version string
}

const queue = "orders"

// short is for what says nothing.
const short = 2 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newBed(t *testing.T, version string) *bed {
	t.Helper()
	if version == "" {
		version = "4.3"
	}
	server := brokertest.NewServer(t, brokertest.Version(version))
	must(t, server.DeclareQueue(queue, nil))
	return &bed{T: t, server: server, url: server.URL(), version: version, config: Config{
		Queue: queue, Step: time.Minute, // however busy the machine is
		CheckCommand: func(string) error { return nil },
		Program:      func(line string) string { return line },
	}}
}

func (b *bed) examine() *Report {
	b.Helper()
	var err error
	b.config.Endpoints, err = broker.ParseEndpoints(b.url)
	must(b.T, err)
	return Run(b.Context(), b.config)
}

// session is another one, which ends with the test.
func (b *bed) session(subscriptions ...broker.Subscription) *broker.Session {
	b.Helper()
	endpoints, err := broker.ParseEndpoints(b.server.URL())
	must(b.T, err)
	s, err := broker.Open(b.Context(), broker.Plan{Endpoints: endpoints, Subscriptions: subscriptions}, 1, 0)
	must(b.T, err)
	b.Cleanup(s.Abort)
	return s
}

func durable(arguments ...any) broker.QueueOptions {
	o := broker.QueueOptions{Durable: true, Arguments: map[string]any{}}
	for i := 0; i < len(arguments); i += 2 {
		o.Arguments[arguments[i].(string)] = arguments[i+1]
	}
	return o
}

func (b *bed) redeclare(o broker.QueueOptions) {
	b.Helper()
	b.server.DeleteQueue(queue)
	must(b.T, b.session().DeclareQueue(b.Context(), queue, o))
}

func (b *bed) consume() {
	b.Helper()
	_, err := b.session(broker.Subscription{Queue: queue, Prefetch: 1}).Consume(b.Context(), 0, broker.Intake{})
	must(b.T, err)
}

// heartbeat makes a broker that agrees to it.
func (b *bed) heartbeat(interval time.Duration) {
	b.Helper()
	server, err := brokertest.Start(brokertest.Config{Heartbeat: interval})
	must(b.T, err)
	b.Cleanup(server.Close)
	must(b.T, server.DeclareQueue(queue, nil))
	b.url = server.URL() + "?heartbeat=600"
}

// file is the path of one that says text, and can be run.
func (b *bed) file(text string) (path string) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "file")
	scripts.Write(b.T, path, text)
	return path
}

// newJournal makes the journal that is looked at.
func (b *bed) newJournal() *journal.Journal {
	b.Helper()
	b.config.Journal = b.TempDir()
	j, err := journal.Open(b.config.Journal, journal.Options{})
	must(b.T, err)
	return j
}

// damage changes the text of a journal.
func (b *bed) damage(change func(string) string) {
	b.Helper()
	j := b.newJournal()
	for seq := uint64(1); seq <= 3; seq++ {
		must(b.T, j.Append(fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Name: "x", Seq: seq, Run: "r", Time: time.Now().UTC(), From: "a", To: "a"}))
	}
	must(b.T, j.Close())
	segments, err := filepath.Glob(filepath.Join(b.config.Journal, "*.jsonl"))
	must(b.T, err)
	text, err := os.ReadFile(segments[0])
	must(b.T, err)
	must(b.T, os.WriteFile(segments[0], []byte(change(string(text))), 0o600))
}

func certified(name string, from, until time.Duration) func(*bed) {
	return func(b *bed) {
		a, now := newAuthority(b.T), time.Now()
		b.url = a.secured(b.T, b.server.URL(), a.issue(b.T, name, now.Add(from), now.Add(until)))
	}
}

func web(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	if handler == nil {
		handler = http.NotFoundHandler()
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// managed has a management plugin with some answers of its own.
func managed(answers map[string]string) func(*bed) {
	return func(b *bed) { b.config.Management = web(b.T, plugged(answers)).URL }
}

// plugged answers as a healthy management plugin does, but for some paths.
func plugged(answers map[string]string) http.Handler {
	healthy := map[string]string{
		"overview":          `{"rabbitmq_version":"4.3.6","cluster_name":"rabbit@a"}`,
		"nodes":             `[{"name":"rabbit@a","running":true,"partitions":[],"fd_used":10,"fd_total":1000}]`,
		"user-limits/guest": `[]`,
		"vhost-limits/%2F":  `[]`,
		"queues/%2F/orders": `{"type":"classic","durable":true,"node":"rabbit@a","state":"running","effective_policy_definition":[]}`,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.EscapedPath(), "/api/")
		answer, there := answers[path]
		if !there {
			answer, there = healthy[path]
		}
		switch user, password, _ := r.BasicAuth(); {
		case user != "guest" || password != "guest" || answer == "401":
			w.WriteHeader(http.StatusUnauthorized)
		case !there:
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = w.Write([]byte(answer))
		}
	})
}
