package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/deadend"
	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// openTerminal opens a pseudo-terminal: what is written to tty appears on screen, with "\r\n" for
// each newline. read waits for the rest, once every writer has closed it.
func openTerminal(t *testing.T) (tty *os.File, screen *transcript, read func()) {
	t.Helper()
	tty, _, screen, read = openKeyboard(t)
	return tty, screen, read
}

// openKeyboard opens one on which a test can type, too.
func openKeyboard(t *testing.T) (tty, keys *os.File, screen *transcript, read func()) {
	t.Helper()
	tty, master := deadend.Terminal(t)
	screen = new(transcript)
	var reader sync.WaitGroup
	reader.Go(func() { io.Copy(screen, master) }) // until EIO: nobody has it open for writing
	t.Cleanup(func() {
		tty.Close()
		reader.Wait()
		master.Close()
	})
	return tty, master, screen, reader.Wait
}

// run runs it to its end, with the terminal in place of those of its outputs that are tty.
func (p *program) run(tty *os.File, read func(), status int) {
	p.t.Helper()
	p.start()
	tty.Close()
	p.wait(status)
	read()
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
				p.run(tty, read, 0)
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

// Messages are from outside: a terminal shows what is in them, and obeys nothing. A pipe gets the bytes.
func TestTerminalConsume(t *testing.T) {
	const body = "a\x1b[2J\u009b31m\u202e\xff\tb"
	tests := []struct{ flags, shown, piped string }{
		{"--output body", `a\x1b[2J\u009b31m\u202e\xff` + "\tb\r\n", body + "\n"},
		{"--null", `a\x1b[2J\u009b31m\u202e\xff` + "\tb" + `\x00`, body + "\x00"},
		{`--format %q:%s\x1b[m\n`, `q:a\x1b[2J\u009b31m\u202e\xff` + "\tb" + `\x1b[m` + "\r\n", "q:" + body + "\x1b[m\n"},
		{"--output jsonl", `"body":"a\u001b[2J\u009b31m\u202e"`, `"body":"a\u001b[2J` + "\u009b31m\u202e" + `"`},
	}
	for _, tt := range tests {
		for _, terminal := range []bool{true, false} {
			t.Run(fmt.Sprint(tt.flags, terminal), func(t *testing.T) {
				sent := body
				if tt.flags == "--output jsonl" { // otherwise it is base64
					sent = body[:strings.Index(body, "\xff")]
				}
				p := prepareAlone(t, append([]string{"consume", "--queue", "q", "--count", "1", "--url", oneQueue(t, sent).URL()}, strings.Fields(tt.flags)...)...)
				screen, want := &p.stdout, tt.piped
				if terminal {
					tty, transcript, read := openTerminal(t)
					p.cmd.Stdout, screen, want = tty, transcript, tt.shown
					p.run(tty, read, 0)
				} else {
					p.start().wait(0)
				}
				if got := screen.String(); !strings.Contains(got, want) || tt.flags != "--output jsonl" && got != want {
					t.Errorf("%q, want %q", got, want)
				}
			})
		}
	}
}

// Names, errors and what a broker says reach a terminal harmless, whichever command tells of them.
func TestTerminalHostile(t *testing.T) {
	const evil = "\x1b]0;x\x07\u009b31m\u202e"
	log := pasttest.New(t, "or"+evil+"ders").Connect().Fire(time.Second, consumer.ConnectionError, consumer.Evidence{
		Class: "net" + evil, Error: "gone" + evil, Endpoint: "h" + evil, Queue: "q" + evil, Note: "n" + evil,
	})
	path := pasttest.NewFile(t, "or"+evil+".log", log.Lines())
	other := pasttest.New(t, "mails").Connect()
	hostile := answers(t, 200, string(madeDocument(t, "away", func(doc *health.Document) {
		doc.Name, doc.Troubles[0].Text, doc.Subscriptions[0].Queue = evil, evil, evil
	})))
	ill := answers(t, 503, "[-]apart failed: "+evil)
	several := pasttest.NewFile(t, "several.log", log.Lines()+other.Lines())
	for _, args := range [][]string{
		{"replay", path}, {"replay", path, "--json"}, {"replay", path, "--at", "0s"}, {"replay", path, "--machine", "x" + evil},
		{"replay", several}, {"replay", several, "--machine", "none"}, {"replay", path + evil}, {"replay", path, evil},
		{"verify", log.Journal()}, {"verify", path}, {"verify", "--repair", path},
		{"graph", "--journal", several}, {"graph", "--journal", path, "--machine", evil},
		{"consume", "--log-level", evil}, {"consume", "--queue", "q", "--count", evil},
		{"consume", "--url", "amqp://127.0.0.1:1", "--queue", "q", "--journal", path + "/x"}, {evil}, {"--" + evil}, {"help", evil},
		{"demo", "--dot", path + "/x"}, {"status", hostile}, {"status", "--json", hostile}, {"health", ill},
	} {
		t.Run(fmt.Sprintf("%.40q", args), func(t *testing.T) {
			tty, screen, read := openTerminal(t)
			p := prepareAlone(t, args...)
			p.cmd.Env = append(p.cmd.Env, "TERM=xterm", "NO_COLOR=1")
			p.cmd.Stdout, p.cmd.Stderr = tty, tty
			p.start()
			tty.Close()
			_ = p.cmd.Wait()
			read()
			got := screen.String()
			if !strings.Contains(got, `\u202e`) {
				t.Errorf("it tells of something else: %q", got)
			}
			if strings.ContainsAny(got, "\x1b\x07\u009b\u202e") {
				t.Errorf("it commands the terminal: %q", got)
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
	const warning = "12:00:00.000 WRN Publishing -> Reviving: ConnectionError"
	show := func(t *testing.T, w io.Writer) {
		synctest.Test(t, func(*testing.T) {
			var mu sync.Mutex
			state, stats := publish.Connecting, publish.Stats{}
			tick := func(next fsm.State, now publish.Stats) {
				mu.Lock()
				state, stats = next, now
				mu.Unlock()
				time.Sleep(progressInterval)
				synctest.Wait()
			}
			screen, stopping := newProgress(term.To(w)), make(chan struct{})
			hide := screen.show(func() fsm.State {
				mu.Lock()
				defer mu.Unlock()
				return state
			}, func() publish.Stats {
				mu.Lock()
				defer mu.Unlock()
				return stats
			}, stopping)
			tick(publish.Connecting, publish.Stats{})
			tick(publish.Publishing, publish.Stats{Confirmed: 1})
			fmt.Fprintln(term.To(screen), warning+" \x1b[2J")
			tick(publish.Reviving, publish.Stats{Confirmed: 300, Unconfirmed: 10, Waiting: 2})
			for range 3 {
				tick(publish.Reviving, publish.Stats{Confirmed: 300})
			}
			close(stopping)
			tick(publish.Blocked, publish.Stats{Confirmed: 300, BlockedSince: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)})
			hide()
			fmt.Fprintln(term.To(screen), "the end")
		})
	}
	t.Run("terminal", func(t *testing.T) {
		t.Setenv("TERM", "xterm")
		tty, screen, read := openTerminal(t)
		if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 25, Col: 100}); err != nil {
			t.Fatal(err)
		}
		show(t, tty)
		tty.Close()
		read()
		const clear, one = "\r\x1b[K", "1 message confirmed, 1/s"
		reviving := clear + "300 messages confirmed, %d/s, Reviving for %ds"
		want := clear + "0 messages confirmed, 0/s, Connecting for 0s" + clear + one +
			clear + warning + " \\x1b[2J\r\n" + one +
			clear + "300 messages confirmed, 200/s, 12 waiting, Reviving for 0s" +
			fmt.Sprintf(reviving, 150, 1) + fmt.Sprintf(reviving, 120, 1) + fmt.Sprintf(reviving, 100, 2) +
			clear + "300 messages confirmed, 86/s, blocked by the broker since 03:04:05, stopping (a second signal stops"[:99] +
			clear + "the end\r\n"
		if got := screen.String(); got != want {
			t.Errorf("the screen got\n%q, want\n%q", got, want)
		}
	})
	t.Run("no terminal", func(t *testing.T) {
		var out transcript
		show(t, &out)
		if got, want := out.String(), warning+" \x1b[2J\nthe end\n"; got != want {
			t.Errorf("the output is\n%q, want\n%q", got, want)
		}
	})
}
