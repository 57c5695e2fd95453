package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// told is what a command prints that must succeed.
func told(t *testing.T, args ...string) string {
	t.Helper()
	status, stdout, stderr := inProcess(t, args...)
	if status != 0 {
		t.Errorf("%q: exit status %d, %s", args, status, stderr)
	}
	return stdout
}

// What publish has put into a journal, the other commands know for a publisher's.
func TestPublishJournal(t *testing.T) {
	server := oneQueue(t)
	dir := filepath.Join(t.TempDir(), "journal")
	for _, name := range []string{"", "--name=sent"} {
		args := []string{"publish", "--url", server.URL(), "--queue", "q", "--journal", dir}
		if name != "" {
			args = append(args, name)
		}
		var stdout, stderr transcript
		if status := run(t.Context(), args, strings.NewReader("1\n2\n"), &stdout, &stderr); status != 0 || stderr.String() != "2 messages confirmed\n" {
			t.Fatalf("exit status %d, %s", status, &stderr)
		}
	}
	if got := told(t, "verify", dir); !strings.HasPrefix(got, "checked           8 events, seq 1 to 8, of 2 runs\nmachine           everhop-publish, sent\n") ||
		!strings.Contains(got, "in the table of a publisher") {
		t.Errorf("verify:\n%s", got)
	}
	if got := told(t, "replay", dir); strings.Count(got, "Publishing") < 4 || strings.Contains(got, "onsum") {
		t.Errorf("replay:\n%s", got)
	}
	if got := told(t, "replay", dir, "--machine", "sent", "--summary"); !regexp.MustCompile(`availability +[\d.]+ %: published `).MatchString(got) {
		t.Errorf("replay --summary:\n%s", got)
	}
	if got := told(t, "graph", "--journal", dir, "--machine", "sent"); !strings.Contains(got, `"Connecting" -> "Publishing" [label="Connected 1×`) || strings.Contains(got, "Consuming") {
		t.Errorf("graph:\n%s", got)
	}
	if got := told(t, "graph", "--journal", dir, "--machine", "sent", "--format", "mermaid"); !strings.Contains(got, "Connecting --> Publishing : Connected 1×") {
		t.Errorf("graph as mermaid:\n%s", got)
	}
}

// A run that was killed is closed in the journal.
func TestPublishAfterAKill(t *testing.T) {
	server := oneQueue(t)
	dir := t.TempDir()
	makeJournal(t, dir, publish.Lifecycle(), publish.Connect)
	var stderr transcript
	args := []string{"publish", "--url", server.URL(), "--queue", "q", "--journal", dir}
	if status := run(t.Context(), args, strings.NewReader("1\n"), &transcript{}, &stderr); status != 0 {
		t.Fatalf("exit status %d, %s", status, &stderr)
	}
	if got := told(t, "replay", dir); !strings.Contains(got, "ProcessRestarted    Disconnected    [everhop-publish] the run before ended without Stop") {
		t.Error(got)
	}
}

// A consumer's publisher has a journal of its own, in the consumer's.
func TestConsumeJournalOfPublisher(t *testing.T) {
	server := oneQueue(t, "bad", "ok")
	dir := filepath.Join(t.TempDir(), "journal")
	for _, message := range []string{"", "ok"} {
		if message != "" {
			if err := server.Publish("q", message); err != nil {
				t.Fatal(err)
			}
		}
		told(t, "consume", "--url", server.URL(), "--queue", "q", "--count", "1", "--attempts", "1", "--exec", "grep -q ok", "--name", "orders", "--journal", dir)
	}
	if n := len(server.Messages("q.parked")); n != 1 {
		t.Fatalf("%d messages are parked", n)
	}
	for _, tt := range []struct{ dir, verify, replay, not string }{
		{dir, "machine           orders\n", "Consuming", "ublish"},
		{filepath.Join(dir, "publisher"), "machine           orders (publishing)\n", "Connecting         .*Connected           Publishing", "onsum"},
	} {
		if got := told(t, "verify", tt.dir); !strings.Contains(got, tt.verify) || !strings.Contains(got, " of 2 runs\n") {
			t.Errorf("verify %s:\n%s", tt.dir, got)
		}
		if got := told(t, "replay", tt.dir); !regexp.MustCompile(tt.replay).MatchString(got) || strings.Contains(strings.ReplaceAll(got, "(publishing)", ""), tt.not) {
			t.Errorf("replay %s:\n%s", tt.dir, got)
		}
	}
}

// A journal of another kind is refused, even if it ends in a state that both have; and it is left as it was.
func TestJournalOfAnother(t *testing.T) {
	consumed := func(dir string) { copyJournal(t, pasttest.Outage(t).Journal(), dir) }
	published := func(dir string) { copyJournal(t, pasttest.Published(t).Journal(), dir) }
	for _, tt := range []struct {
		name, command string
		spoil         func(dir string)
		folder        string // in the directory
		status        int
		want          string
	}{
		{"a consumer's", "publish", consumed, "", 1, "DIR is a consumer's, and not a publisher's\n"},
		{"a publisher's", "consume", published, "", 1, "DIR is a publisher's, and not a consumer's\n"},
		{"a consumer's for its publisher", "consume", consumed, "publisher", 1, "DIR is a consumer's, and not a publisher's\n"},
		{"damaged for its publisher", "consume", func(dir string) {
			published(dir)
			pasttest.Change(t, pasttest.SegmentsOf(t, dir)[0], "low on memory", "low on nothing")
		}, "publisher", 3, "DIR/00000000000000000001.jsonl:7 is damaged at byte "},
		{"amid something", "publish", func(dir string) { makeJournal(t, dir, consumer.Lifecycle(), consumer.Connect) }, "", 1,
			"DIR is a consumer's, and not a publisher's\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "journal")
			spoiled := filepath.Join(dir, tt.folder)
			if err := os.MkdirAll(spoiled, 0o700); err != nil {
				t.Fatal(err)
			}
			tt.spoil(spoiled)
			before := pasttest.ReadFile(t, pasttest.SegmentsOf(t, spoiled)[0])
			for range 2 { // the second time, too: nothing is left locked
				ctx, cancel := context.WithTimeout(t.Context(), patience) // it would wait for a broker
				var stderr transcript
				args := []string{tt.command, "--url", "amqp://127.0.0.1:1", "--queue", "q", "--journal", dir}
				status := run(ctx, args, strings.NewReader(""), &transcript{}, &stderr)
				cancel()
				if want := "everhop: --journal: " + strings.ReplaceAll(tt.want, "DIR", spoiled); status != tt.status || !strings.HasPrefix(stderr.String(), want) {
					t.Errorf("exit status %d, %q, want %d, %s", status, &stderr, tt.status, want)
					break
				}
			}
			if after := pasttest.ReadFile(t, pasttest.SegmentsOf(t, spoiled)[0]); after != before {
				t.Errorf("it has become\n%s", after)
			}
		})
	}
}

func copyJournal(t *testing.T, from, to string) {
	t.Helper()
	for _, path := range pasttest.SegmentsOf(t, from) {
		if err := os.WriteFile(filepath.Join(to, filepath.Base(path)), []byte(pasttest.ReadFile(t, path)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A journal that cannot be written keeps nobody from publishing, unless it is strict.
func TestPublishJournalNotWritable(t *testing.T) {
	for _, strict := range []bool{false, true} {
		server, dir := oneQueue(t), unwritable(t)
		var stderr transcript
		args := []string{"publish", "--url", server.URL(), "--queue", "q", "--journal", dir, fmt.Sprintf("--journal-strict=%v", strict)}
		status := run(t.Context(), args, strings.NewReader("1\n"), &transcript{}, &stderr)
		said := strings.Count(stderr.String(), `"message":"the journal cannot be written; publishing goes on without"`)
		if !strict && (status != 0 || said != 1 || len(server.Messages("q")) != 1 || !strings.Contains(stderr.String(), "1 message confirmed\n")) {
			t.Errorf("exit status %d, said %d times:\n%s", status, said, &stderr)
		}
		if strict && (status != 1 || said != 0 || len(server.Messages("q")) != 0 || !strings.Contains(stderr.String(), "journal refused boot event 1 ")) {
			t.Errorf("strict: exit status %d, said %d times:\n%s", status, said, &stderr)
		}
	}
}

// A strict journal that is spoiled meanwhile is an error, and the messages are confirmed all the same.
func TestPublishJournalSpoiled(t *testing.T) {
	server, dir := oneQueue(t), filepath.Join(t.TempDir(), "journal")
	input := &onEOF{strings.NewReader("1\n"), func() {
		for _, name := range []string{"lock", "00000000000000000001.jsonl"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		}
		if err := os.Mkdir(filepath.Join(dir, "lock"), 0o700); err != nil {
			t.Error(err)
		}
	}}
	var stderr transcript
	args := []string{"publish", "--url", server.URL(), "--queue", "q", "--journal", dir, "--journal-strict"}
	status := run(t.Context(), args, input, &transcript{}, &stderr)
	if got := stderr.String(); status != 1 || !strings.Contains(got, "1 message confirmed\neverhop: --journal-strict: the journal is not whole: ") || len(server.Messages("q")) != 1 {
		t.Errorf("exit status %d, %s", status, got)
	}
}

// onEOF calls something at the end.
type onEOF struct {
	*strings.Reader
	do func()
}

func (r *onEOF) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		r.do()
	}
	return n, err
}

// A journal that refuses an event ends it. How much is confirmed is told as ever.
func TestPublishJournalRefuses(t *testing.T) {
	for _, tt := range []struct {
		trigger   fsm.Trigger
		confirmed int
		want      string
	}{
		{publish.Stop, 1, "all of the input is confirmed, but "},
		{publish.Connected, 0, "; 0 messages confirmed, line 1 is the first that is not"},
		{publish.ConnectionError, 0, "; 0 messages confirmed, line 1 is the first that is not"},
	} {
		server, f := oneQueue(t), newPublication()
		if tt.trigger == publish.ConnectionError { // amid a message
			server.Inject(brokertest.OnMethod("basic.publish", 1), brokertest.Reset())
		}
		if err := f.command().ParseFlags([]string{"--queue", "q"}); err != nil {
			t.Fatal(err)
		}
		screen := newProgress(term.To(&transcript{}))
		config := f.config([]string{server.URL()}, zerolog.Nop())
		config.Journal = refusing{fsm.NewRing(8), tt.trigger}
		confirmed, err := publishInput(t.Context(), t.Context(), config, f.source("guest", strings.NewReader("1\n")), &pace{}, screen)
		if confirmed != tt.confirmed || !errors.Is(err, fsm.ErrVetoed) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "no space") {
			t.Errorf("%s: %d confirmed, %v", tt.trigger, confirmed, err)
		}
	}
}

// refusing is a journal that refuses a trigger.
type refusing struct {
	*fsm.Ring
	trigger fsm.Trigger
}

func (r refusing) Append(e fsm.Event) error {
	if e.Trigger == r.trigger {
		return errors.New("no space")
	}
	return r.Ring.Append(e)
}
