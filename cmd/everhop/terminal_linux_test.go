package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

// openTerminal opens a pseudo-terminal: what is written to tty appears on screen, with "\r\n" for
// each newline. read waits for the rest, once every writer has closed it.
func openTerminal(t *testing.T) (tty *os.File, screen *transcript, read func()) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("needs /dev/ptmx, which containers without a /dev/pts do not have: ", err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal("unlock: ", err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal("number: ", err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	screen = new(transcript)
	var reader sync.WaitGroup
	reader.Go(func() { io.Copy(screen, master) }) // until EIO: nobody has it open for writing
	t.Cleanup(func() {
		tty.Close()
		reader.Wait()
		master.Close()
	})
	return tty, screen, reader.Wait
}

func TestTerminalLogs(t *testing.T) {
	const (
		json     = `(?m)^\{"level":"info",.*"to":"Consuming".*\}\r?$`
		plain    = `(?m)^\d\d:\d\d:\d\d\.\d{3} INF Connecting -> Consuming: Connected endpoint=[\d.:]+ gen=1( in_state_ms=\d+)?\r?$`
		coloured = `(?m)^\x1b\[90m\d\d:\d\d:\d\d\.\d{3}\x1b\[0m \x1b\[32mINF\x1b\[0m \x1b\[1mConnecting -> Consuming: Connected\x1b\[0m \x1b\[36mendpoint=`
	)
	tests := []struct {
		name     string
		terminal bool
		env      string
		flags    []string
		want     string
	}{
		{"terminal", true, "NO_COLOR=", nil, coloured},
		{"terminal, NO_COLOR", true, "NO_COLOR=1", nil, plain},
		{"terminal, json", true, "NO_COLOR=", []string{"--log-format", "json"}, json},
		{"pipe", false, "NO_COLOR=", nil, json},
		{"pipe, console", false, "NO_COLOR=", []string{"--log-format", "console"}, plain},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := prepare(t, append([]string{"consume", "--queue", newQueue(t, "1"), "--count", "1"}, tt.flags...)...)
			p.cmd.Env = append(p.cmd.Env, tt.env)
			screen := &p.stderr
			if tt.terminal {
				tty, transcript, read := openTerminal(t)
				p.cmd.Stderr, screen = tty, transcript
				p.start()
				tty.Close()
				p.wait(0)
				read()
			} else {
				p.start().wait(0)
			}
			got := screen.String()
			if !regexp.MustCompile(tt.want).MatchString(got) {
				t.Errorf("no line like %s in\n%q", tt.want, got)
			}
			if strings.Contains(got, "\x1b") != (tt.want == coloured) {
				t.Errorf("colours are where they should not be, or missing:\n%q", got)
			}
		})
	}
}

// A slow input shows how far it is, and what stays on the screen is the result.
func TestTerminalPublish(t *testing.T) {
	p := prepare(t, "publish", "--queue", newQueue(t))
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	tty, screen, read := openTerminal(t)
	p.cmd.Stderr = tty
	p.cmd.Env = append(p.cmd.Env, "TERM=xterm")
	p.start()
	tty.Close()
	io.WriteString(stdin, "a\nb\n")
	shown := regexp.MustCompile(`\r\x1b\[K2 messages confirmed, \d+/s`)
	rabbittest.Eventually(t, patience, "progress", func() bool { return shown.MatchString(screen.String()) })
	stdin.Close()
	p.wait(0)
	read()
	if got := screen.String(); !strings.HasSuffix(got, "/s\r\x1b[K2 messages confirmed\r\n") {
		t.Errorf("the screen got %q", got)
	}
}

func TestProgress(t *testing.T) {
	const (
		blocked   = "everhop: the broker takes no messages for now (low on memory): waiting"
		unblocked = "everhop: the broker takes messages again"
	)
	show := func(t *testing.T, w io.Writer) {
		synctest.Test(t, func(*testing.T) {
			var confirmed atomic.Int64
			changes := make(chan broker.Blocked)
			stop := showProgress(w, &confirmed, changes)
			confirmed.Store(1)
			time.Sleep(progressInterval)
			synctest.Wait()
			confirmed.Store(300)
			time.Sleep(progressInterval)
			synctest.Wait()
			changes <- broker.Blocked{Active: true, Reason: "low on memory"}
			changes <- broker.Blocked{}
			synctest.Wait()
			stop()
		})
	}
	t.Run("terminal", func(t *testing.T) {
		t.Setenv("TERM", "xterm")
		tty, screen, read := openTerminal(t)
		show(t, tty)
		tty.Close()
		read()
		const clear = "\r\x1b[K"
		want := clear + "1 message confirmed, 2/s" + clear + "300 messages confirmed, 300/s" +
			clear + blocked + "\r\n" + clear + unblocked + "\r\n" + clear
		if got := screen.String(); got != want {
			t.Errorf("the screen got\n%q, want\n%q", got, want)
		}
	})
	t.Run("no terminal", func(t *testing.T) {
		var out transcript
		show(t, &out)
		if got, want := out.String(), blocked+"\n"+unblocked+"\n"; got != want {
			t.Errorf("the output is\n%q, want\n%q", got, want)
		}
	})
}
