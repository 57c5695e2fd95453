package main

import (
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
)

func TestTerminalDemo(t *testing.T) {
	var (
		drawn    = regexp.MustCompile(`\[Consuming\]<-> HeartbeatCheck`)
		painted  = regexp.MustCompile("\x1b\\[1;32m\\[Consuming\\]\x1b\\[0m")
		plain    = regexp.MustCompile(`Connecting \(.*\) -> Consuming`)
		colour   = regexp.MustCompile("\x1b\\[[0-9;]*m")
		drawings = regexp.MustCompile("\x1b\\[[0-9]+A")
	)
	tests := []struct {
		name          string
		env           []string
		shows         *regexp.Regexp
		colours, live bool
	}{
		{"colours", []string{"TERM=xterm", "NO_COLOR="}, painted, true, true},
		{"no colours", []string{"TERM=xterm", "NO_COLOR=1"}, drawn, false, true},
		{"dumb", []string{"TERM=dumb", "NO_COLOR="}, plain, false, false},
		{"no TERM", []string{"TERM=", "NO_COLOR="}, plain, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tty, screen, read := openTerminal(t)
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
			const shown, hidden = "\x1b[?25h", "\x1b[?25l"
			if strings.LastIndex(got, shown) < strings.LastIndex(got, hidden) || !strings.Contains(got[strings.LastIndex(got, shown)+1:], " published, ") {
				t.Errorf("the summary is not below a cursor that is shown:\n%q", got)
			}
		})
	}
}
