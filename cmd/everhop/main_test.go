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

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/past"
)

// programEnv makes the test binary be everhop.
const programEnv = "EVERHOP_TEST_PROGRAM"

// patience is for what happens at once on an idle machine.
const patience = 20 * time.Second

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

// The packages' names are no news for who typed a command.
func TestComplain(t *testing.T) {
	tests := []struct{ text, want string }{
		{"consumer: gave up while Connecting (auth at h:1): broker: open at h:1: 403 ACCESS_REFUSED", "gave up while Connecting (auth at h:1): open at h:1: 403 ACCESS_REFUSED"},
		{"--url: URL 2: broker: bad URL\nURL 3: broker: bad URL", "--url: URL 2: bad URL; URL 3: bad URL"},
		{"consumer: broker: fsm: x", "x"},
		{"fsm: x: consumer: broker: y", "x: y"},
		{"broker: 404 NOT_FOUND - no queue 'broker: x'", "404 NOT_FOUND - no queue 'broker: x'"},
		{`unknown command "broker: x"`, `unknown command "broker: x"`},
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
