package health_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/fsm"
)

// reader is an http.ResponseWriter in memory, which takes nothing while it is held.
type reader struct {
	mu       sync.Mutex
	held     chan struct{} // nothing is taken until it is closed
	text     strings.Builder
	flushed  int
	deadline time.Time
	header   http.Header
	code     int
}

func (r *reader) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}
func (r *reader) WriteHeader(code int) { r.code = code }
func (r *reader) SetWriteDeadline(t time.Time) error {
	r.deadline = t
	return nil
}
func (r *reader) Write(text []byte) (int, error) {
	if held := r.holds(); held != nil {
		<-held
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().After(r.deadline) {
		return 0, errors.New("too late")
	}
	return r.text.Write(text)
}
func (r *reader) holds() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}
func (r *reader) hold() (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = make(chan struct{})
	return sync.OnceFunc(func() { close(r.held) })
}
func (r *reader) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flushed = r.text.Len()
}

// seen returns what was flushed, without the first line.
func (r *reader) seen() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.TrimPrefix(r.text.String()[:r.flushed], "retry: 1000\n\n")
}

// numbers returns the ids of what was seen, with the note of a gap, and how many comments there are.
func (r *reader) numbers(t *testing.T) (list []string, comments int) {
	lines := bufio.NewScanner(strings.NewReader(r.seen()))
	id := ""
	for lines.Scan() {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "id":
			id = value
		case "":
			if lines.Text() != "" {
				comments++
			}
		case "data":
			var e fsm.Event
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(e.LastSeq()) != id {
				t.Errorf("event %d has the id %s", e.LastSeq(), id)
			}
			if e.Kind == fsm.KindGap {
				id += " " + e.Note
			}
			list = append(list, id)
		default:
			t.Errorf("a line that is none: %q", lines.Text())
		}
	}
	return list, comments
}

// open begins a stream, which the returned function ends and waits for.
func open(s *health.Server, r *reader, target, last string) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeHTTP(r, request)
	}()
	return func() {
		cancel()
		<-done
	}
}

// remarks are notes with the numbers from first to last.
func remarks(m *health.Events, first, last uint64) {
	for seq := first; seq <= last; seq++ {
		m.Observe(fsm.Event{
			V: 1, Kind: fsm.KindNote, Name: "paused", Seq: seq, Run: "a", Time: morning.Add(time.Duration(seq) * time.Second),
			MonoNS: int64(seq) * 1e9, From: consumer.Consuming, To: consumer.Consuming,
		})
	}
}

func ids(first, last uint64) (list []string) {
	for seq := first; seq <= last; seq++ {
		list = append(list, fmt.Sprint(seq))
	}
	return list
}

func expectIDs(t *testing.T, r *reader, want ...[]string) {
	t.Helper()
	var all []string
	for _, part := range want {
		all = append(all, part...)
	}
	got, _ := r.numbers(t)
	if fmt.Sprint(got) != fmt.Sprint(all) {
		t.Errorf("got %d events:\n%.1500s\nwant %d:\n%.1500s", len(got), fmt.Sprint(got), len(all), fmt.Sprint(all))
	}
}

func TestStream(t *testing.T) {
	const all = health.KeptEvents + 100
	for _, c := range []struct {
		name, target, last string
		before             uint64 // how many there are
		want               [][]string
	}{
		{"from the start", "/events", "", 3, [][]string{ids(1, 13)}},
		{"before anything has happened", "/events", "", 0, [][]string{ids(1, 10)}},
		{"since", "/events?since=2", "", 3, [][]string{ids(3, 13)}},
		{"with nothing new", "/events?since=3", "", 3, [][]string{ids(4, 13)}},
		{"again", "/events?since=1", "2", 3, [][]string{ids(3, 13)}},
		{"another log", "/events", "5000", 3, [][]string{ids(1, 13)}},
		{"all that is kept", "/events", "", all, [][]string{ids(101, all+10)}},
		{"behind what is kept one by one", "/events?since=200", "", all, [][]string{ids(201, all+10)}},
		{"what is not kept", "/events?since=40", "", all, [][]string{{"41 60 events are not remembered any more"}, ids(101, all+10)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events := health.NewEvents()
				remarks(events, 1, c.before)
				var r reader
				defer open(health.NewServer(fixed(made(morning, 1)), events, health.Options{}), &r, c.target, c.last)()
				synctest.Wait()
				remarks(events, c.before+1, c.before+10)
				synctest.Wait()
				if kind := r.Header().Get("Content-Type"); kind != "text/event-stream" {
					t.Errorf("it is %s", kind)
				}
				expectIDs(t, &r, c.want...)
			})
		})
	}
	w := get(health.NewServer(fixed(made(morning, 1)), health.NewEvents(), health.Options{}), "/events?since=yesterday")
	if w.Code != 400 || w.Body.String() != "since: \"yesterday\" is not the number of an event\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What became of messages of very many queues pushes nothing else out.
func TestStreamOfManyOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := health.NewEvents()
		remarks(events, 1, 5)
		const last = 20_000
		for seq := uint64(6); seq < last; seq++ {
			if seq == 10_000 || seq == last-500 {
				remarks(events, seq, seq)
				continue
			}
			events.Observe(fsm.Event{V: 1, Kind: fsm.KindNote, Name: consumer.NoteOutcomes, Seq: seq, Run: "a", Time: morning})
		}
		server := health.NewServer(fixed(made(morning, 1)), events, health.Options{})
		var all, behind reader
		defer open(server, &all, "/events", "")()
		defer open(server, &behind, "/events?since=3", "")()
		synctest.Wait()
		got, _ := all.numbers(t)
		if n := len(got) - 6; fmt.Sprint(got[:6]) != "[1 2 3 4 5 10000]" || n < 1024 || fmt.Sprint(got[6:]) != fmt.Sprint(ids(last-uint64(n), last-1)) {
			t.Errorf("got %d events: %.200s", len(got), fmt.Sprint(got))
		}
		expectIDs(t, &behind, got[3:])
	})
}

func TestStreamKeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := health.NewServer(fixed(made(morning, 1)), health.NewEvents(), health.Options{})
		var r reader
		defer open(server, &r, "/events", "")()
		time.Sleep(4*health.KeepAlive + time.Second)
		if _, comments := r.numbers(t); comments != 4 {
			t.Errorf("%d comments in %v", comments, 4*health.KeepAlive)
		}
	})
}

// One that takes nothing costs no more than its place, for a while, and others nothing.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := health.NewEvents()
		server := health.NewServer(fixed(made(morning, 1)), events, health.Options{})
		var slow, quick reader
		defer open(server, &slow, "/events", "")()
		defer open(server, &quick, "/events", "")()
		synctest.Wait()
		remarks(events, 1, 2)
		synctest.Wait()
		release := slow.hold()
		defer release()
		const last = 2 * health.KeptEvents
		for seq := uint64(3); seq <= last; seq++ { // it holds nothing up
			remarks(events, seq, seq)
			if seq == 3 || seq%100 == 0 {
				synctest.Wait() // only what is slow is slow
			}
		}
		synctest.Wait()
		expectIDs(t, &quick, ids(1, last))
		release()
		synctest.Wait()
		got, _ := slow.numbers(t)
		n := len(got)
		gap := fmt.Sprintf("4 %d events are not remembered any more", last-health.KeptEvents-3)
		if got[0] != "1" || got[n-1] != fmt.Sprint(last) || !strings.Contains(strings.Join(got, ","), "3,"+gap+","+fmt.Sprint(last-health.KeptEvents+1)+",") {
			t.Errorf("%d events: %v ... %s; want the gap %q", n, got[:min(n, 6)], got[n-1], gap)
		}
	})
}

// A reader that takes nothing for too long makes room for others.
func TestTooManyReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := health.NewEvents()
		server := health.NewServer(fixed(made(morning, 1)), events, health.Options{})
		readers := make([]reader, health.MostReaders)
		for i := range readers {
			defer open(server, &readers[i], "/events", "")()
		}
		synctest.Wait()
		if w := get(server, "/events"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("one too many: %d, %v", w.Code, w.Header())
		}
		release := readers[3].hold()
		remarks(events, 1, 1)
		time.Sleep(health.Patience + time.Second)
		release() // as a connection does when the deadline is over
		synctest.Wait()
		var late reader
		defer open(server, &late, "/events", "")()
		synctest.Wait()
		expectIDs(t, &late, ids(1, 1))
	})
}

func TestCloseEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := health.NewServer(fixed(made(morning, 1)), health.NewEvents(), health.Options{})
		var early, late reader
		open(server, &early, "/events", "") // nobody ends it
		synctest.Wait()
		server.Close()
		server.Close()
		open(server, &late, "/events", "")
		if w := get(server, "/livez"); w.Code != 200 {
			t.Errorf("afterwards: %d", w.Code)
		}
	})
}

// Idle checks are remembered as one event, which takes the number of its last one.
func TestStreamOfAnIdleDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := health.NewEvents()
		remarks(events, 1, 1)
		step := func(seq uint64, from, to fsm.State, trigger fsm.Trigger) {
			events.Observe(fsm.Event{
				V: 1, Kind: fsm.KindTransition, Seq: seq, Run: "a", Time: morning.Add(time.Duration(seq) * time.Second),
				MonoNS: int64(seq) * 1e9, From: from, To: to, Trigger: trigger, InStateMS: 1000,
			})
		}
		const last = 40_001
		for seq := uint64(2); seq < last; seq += 2 {
			step(seq, consumer.Consuming, consumer.HeartbeatCheck, consumer.DrainTimeout)
			step(seq+1, consumer.HeartbeatCheck, consumer.Consuming, consumer.HeartbeatOK)
		}
		var all, behind reader
		server := health.NewServer(fixed(made(morning, 1)), events, health.Options{})
		defer open(server, &all, "/events", "")()
		defer open(server, &behind, "/events?since=39991", "")()
		synctest.Wait()
		expectIDs(t, &all, ids(1, 1), ids(last-2, last))
		expectIDs(t, &behind, ids(39_992, last))
	})
}
