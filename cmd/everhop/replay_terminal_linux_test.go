package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"golang.org/x/sys/unix"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
)

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

func TestTerminalReplay(t *testing.T) {
	path := pasttest.Night(t).Journal()
	tests := []struct {
		columns uint16
		env     []string
		colours bool
		wide    bool
	}{
		{140, []string{"TERM=xterm", "NO_COLOR="}, true, true},
		{140, []string{"TERM=xterm", "NO_COLOR=1"}, false, true},
		{80, []string{"TERM=xterm", "NO_COLOR="}, true, false},
		{80, []string{"TERM=dumb", "NO_COLOR="}, false, false},
		{0, []string{"TERM=xterm", "NO_COLOR=1"}, false, false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.columns, tt.env), func(t *testing.T) {
			tty, screen, read := openTerminal(t)
			if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: tt.columns}); err != nil {
				t.Fatal(err)
			}
			p := prepareAlone(t, "replay", path, "--utc")
			p.cmd.Env = append(p.cmd.Env, tt.env...)
			p.cmd.Stdout = tty
			p.run(tty, read, 0)
			got := screen.String()
			if strings.Contains(got, "\x1b[") != tt.colours {
				t.Errorf("colours are where they should not be, or missing:\n%q", got)
			}
			name := "narrow"
			if tt.wide {
				name = "wide"
			}
			want := pasttest.ReadFile(t, "internal/past/testdata/"+name+".txt")
			if diff := cmp.Diff(want, strings.ReplaceAll(colours.ReplaceAllString(got, ""), "\r\n", "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
