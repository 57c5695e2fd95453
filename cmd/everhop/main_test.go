package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm/journal"
)

// programEnv makes the test binary be everhop.
const programEnv = "EVERHOP_TEST_PROGRAM"

// patience is for what happens at once on an idle machine, and may take long on a busy one.
const patience = time.Minute

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
	}
	if setting := os.Getenv(oneAckEnv); setting != "" {
		if err := oneAck(setting); err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Unsetenv(urlVariable)
	rabbittest.Main(m, func() error { return goleak.Find() })
}

// inProcess runs everhop in this process: for what needs no process of its own.
func inProcess(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err transcript
	status = run(t.Context(), append([]string{}, args...), io.LimitReader(nil, 0), &out, &err)
	return status, out.String(), err.String()
}

func TestComplain(t *testing.T) {
	tests := []struct{ text, want string }{
		{"URL 2: bad URL\nURL 3: bad URL", "URL 2: bad URL; URL 3: bad URL"},
		{"amqp://u:pw@h", "amqp://***@h"},
		{"a\x1b[2Jb\r\u009b\u202e\xff", `a\x1b[2Jb\r\u009b\u202e\xff`},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		complain(&out, tt.text)
		if diff := cmp.Diff("everhop: "+tt.want+"\n", out.String()); diff != "" {
			t.Error(diff)
		}
	}
}

// The packages' names are no news for who typed a command. What only looks like them stays.
func TestInWords(t *testing.T) {
	wrapped := func(format string, err error) error { return fmt.Errorf(format, err) }
	refused := &broker.Error{Op: "open", Endpoint: "h:1", Err: errors.New("broker: no")}
	_, badURL := broker.ParseEndpoints("amqp://h", "x://h", "y://h")
	tests := []struct {
		err  error
		want string
	}{
		{&consumer.Error{State: consumer.Connecting, Class: broker.Exclusive, Endpoint: "h:1", Err: refused},
			"gave up while Connecting (exclusive at h:1): open at h:1: no; end the consumer that holds the queue exclusively"},
		{wrapped("--url: %w", badURL), "--url: URL 2: bad URL: it must begin with amqp:// or amqps://\nURL 3: bad URL: it must begin with amqp:// or amqps://"},
		{wrapped("consumer: %w", wrapped("broker: %w", errors.New("fsm: x"))), "x"},
		{wrapped("fsm: x: %w", wrapped("consumer: %w", errors.New("broker: y"))), "x: y"},
		{errors.Join(errors.New("journal: a"), errors.New("journal: a"), errors.New("b")), "a\na\nb"},
		{wrapped("%w, line 7", errors.New("broker: refused")), "refused, line 7"},
		{&usageError{"everhop", errors.New("consumer: x")}, "x"},
		{&past.DamagedError{Err: wrapped("--repair: %w", &journal.CorruptError{File: "journal: x/journal", Line: 2, Reason: "odd", Torn: true})},
			"--repair: journal: x/journal:2 is damaged at byte 0, after seq 0: odd; the next writer to open the journal sets this line aside"},
		{errors.New("broker: 404 NOT_FOUND - no queue 'broker: x'"), "404 NOT_FOUND - no queue 'broker: x'"},
		{errors.New(`unknown command "broker: x"`), `unknown command "broker: x"`},
		{&os.PathError{Op: "open", Path: "x: journal", Err: syscall.ENOENT}, "open x: journal: no such file or directory"},
		{&past.SourceError{Name: "journal", Err: errors.New("empty")}, "journal: empty"},
		{&past.DamagedError{Err: &past.SourceError{Name: "journal", Err: wrapped("fsm: %w", errors.New("journal: x"))}}, "journal: x"},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, inWords(tt.err)); diff != "" {
			t.Error(diff)
		}
	}
}

// Files and directories may have the names of packages.
func TestErrorsSayThePath(t *testing.T) {
	for _, name := range []string{"broker", "consumer", "fsm", "journal", "x: journal", "journal: fsm"} {
		says := func(want string, args ...string) {
			t.Helper()
			if status, _, said := inProcess(t, args...); status == 0 || said != "everhop: "+name+": "+want+"\n" {
				t.Errorf("%q: %d, %s", args, status, said)
			}
		}
		t.Chdir(t.TempDir())
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
		const none = "no journal in this directory"
		says(none, "replay", name)
		says(none, "verify", name)
		says(none, "verify", "--repair", name)
		says(none, "graph", "--journal", name)

		t.Chdir(t.TempDir())
		if err := os.WriteFile(name, []byte("odd\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		says("neither a journal nor a log of Everhop: no event in 1 lines; is the log's format json?", "replay", name)
		says("not a journal, or damaged in its first line: the line is no record with a checksum", "verify", name)
	}
}

// That the reader has had enough is no failure, but it hides none either.
func TestConcludeReaderGone(t *testing.T) {
	gone := &outputError{&os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}}
	damaged := &past.DamagedError{Err: errors.New("damaged")}
	tests := []struct {
		err    error
		status int
		said   string
	}{
		{gone, 0, ""},
		{errors.Join(nil, gone), 0, ""},
		{errors.Join(errors.Join(gone, errors.New("broken")), nil), 1, "everhop: broken\n"},
		{errors.Join(gone, damaged), 3, "everhop: damaged\n"},
		{errors.Join(errors.New("a"), errors.New("b")), 1, "everhop: a; b\n"},
		{fmt.Errorf("x: %w", past.ErrInterrupted), 130, "everhop: x: interrupted\n"},
		{&outputError{syscall.ENOSPC}, 1, "everhop: standard output: no space left on device\n"},
	}
	for _, tt := range tests {
		var said strings.Builder
		if status := conclude(tt.err, &said); status != tt.status || said.String() != tt.said {
			t.Errorf("%q: exit status %d, %q; want %d, %q", tt.err, status, said.String(), tt.status, tt.said)
		}
	}
}
