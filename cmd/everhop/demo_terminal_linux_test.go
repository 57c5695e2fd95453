package main

import (
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/everhop/everhop/broker/rabbittest"
)

func TestTerminalDemo(t *testing.T) {
	var (
		drawn    = regexp.MustCompile(`\[Consuming\].*◄──►  HeartbeatCheck`)
		ascii    = regexp.MustCompile(`\[Consuming\].*<-->  HeartbeatCheck`)
		painted  = regexp.MustCompile("\x1b\\[1;32m\\[Consuming\\]\x1b\\[0m")
		narrow   = regexp.MustCompile(`  Consuming for \d\.\d s, last message\r\n`)
		plain    = regexp.MustCompile(`Connecting -> Consuming`)
		colour   = regexp.MustCompile("\x1b\\[[0-9;]*m")
		drawings = regexp.MustCompile("\x1b\\[[0-9]+A")
	)
	tests := []struct {
		name          string
		columns       int // 0: not known
		env           []string
		shows         *regexp.Regexp
		colours, live bool
	}{
		{"colours", 80, []string{"TERM=xterm", "NO_COLOR=", "LC_ALL=C.UTF-8"}, painted, true, true},
		{"no colours", 80, []string{"TERM=xterm", "NO_COLOR=1", "LC_ALL=C.UTF-8"}, drawn, false, true},
		{"no Unicode", 80, []string{"TERM=xterm", "NO_COLOR=1", "LC_ALL=C"}, ascii, false, true},
		{"no size", 0, []string{"TERM=xterm", "NO_COLOR=1", "LC_ALL=C.UTF-8"}, drawn, false, true},
		{"narrow", 36, []string{"TERM=xterm", "NO_COLOR=1", "LC_ALL=C.UTF-8"}, narrow, false, true},
		{"dumb", 80, []string{"TERM=dumb", "NO_COLOR="}, plain, false, false},
		{"no TERM", 80, []string{"TERM=", "NO_COLOR="}, plain, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tty, screen, read := openTerminal(t)
			size := unix.Winsize{Col: uint16(tt.columns), Row: 24}
			if tt.columns == 0 {
				size, tt.columns = unix.Winsize{}, 80
			}
			if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &size); err != nil {
				t.Fatal(err)
			}
			p := prepareDemo(t, tt.env...)
			p.cmd.Stdout = tty
			p.start()
			tty.Close()
			redraws := func() int { return len(drawings.FindAllString(screen.String(), -1)) }
			rabbittest.Eventually(t, patience, "the demo is shown", func() bool {
				return tt.shows.MatchString(screen.String()) && (!tt.live || redraws() > 5)
			})
			p.signal(syscall.SIGINT)
			p.wait(0)
			read()
			got := screen.String()
			if colour.MatchString(got) != tt.colours {
				t.Errorf("colours are where they should not be, or missing:\n%q", got)
			}
			if strings.Contains(got, "\x1b") != tt.live {
				t.Errorf("control sequences are where they should not be, or missing:\n%q", got)
			}
			v := newVT(t, tt.columns, 24)
			v.Write([]byte(got))
			if text := v.text(); !v.atRest() || strings.Contains(text, "[") || strings.Contains(text, "waiting") || !strings.Contains(text, " 0 lost") {
				t.Errorf("left on the terminal, with the cursor at rest %v:\n%s", v.atRest(), text)
			}
		})
	}
}
