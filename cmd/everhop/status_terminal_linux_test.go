package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/everhop/everhop/broker/rabbittest"
)

// watched is an everhop status --watch on a terminal of its own.
type watched struct {
	*program
	tty, keys *os.File
	screen    *transcript
	read      func()
	before    *unix.Termios
}

func watch(t *testing.T, width, height uint16, args ...string) *watched {
	t.Helper()
	w := &watched{program: prepareAlone(t, append([]string{"status", "--watch", "--interval", "50ms"}, args...)...)}
	w.tty, w.keys, w.screen, w.read = openKeyboard(t)
	w.resize(width, height)
	before, err := unix.IoctlGetTermios(int(w.tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	w.before = before
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = w.tty, w.tty, w.tty
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // so that it is /dev/tty
	w.cmd.Env = append(w.cmd.Env, "TERM=xterm", "NO_COLOR=1", "TZ=UTC")
	w.start()
	return w
}

func (w *watched) resize(width, height uint16) {
	w.t.Helper()
	if err := unix.IoctlSetWinsize(int(w.tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width}); err != nil {
		w.t.Fatal(err)
	}
}

// frame is what was drawn last, by lines.
func (w *watched) frame() []string {
	frames := strings.Split(w.screen.String(), "\x1b[H")
	if len(frames) < 3 {
		return nil
	}
	whole := frames[len(frames)-2] // the last one may not be whole yet
	return strings.Split(strings.ReplaceAll(strings.TrimSuffix(whole, "\x1b[J\x1b[?7l"), "\x1b[K", ""), "\r\n")
}

func (w *watched) shows(what string, ok func(frame []string) bool) {
	w.t.Helper()
	rabbittest.Eventually(w.t, patience, what, func() bool { return ok(w.frame()) })
}

func (w *watched) types(keys string) {
	w.t.Helper()
	if _, err := w.keys.WriteString(keys); err != nil {
		w.t.Fatal(err)
	}
}

// ends expects that it leaves the terminal as it was.
func (w *watched) ends() {
	w.t.Helper()
	w.wait(0)
	after, err := unix.IoctlGetTermios(int(w.tty.Fd()), unix.TCGETS)
	if err != nil {
		w.t.Fatal(err)
	}
	if *after != *w.before {
		w.t.Errorf("the terminal was\n%+v and is\n%+v", *w.before, *after)
	}
	w.tty.Close()
	w.read()
	if got := w.screen.String(); !strings.HasSuffix(got, "\x1b[?7h\x1b[?25h\x1b[?1049l") || strings.Count(got, "\x1b[?1049h") != 1 {
		w.t.Errorf("the end of the screen's text is %q", got[max(0, len(got)-100):])
	}
}

// Whatever ends it, the terminal is as it was.
func TestTerminalWatch(t *testing.T) {
	heedHangups(t)
	url := answers(t, 200, string(madeDocument(t, "poison")))
	for name, end := range map[string]func(*watched){
		"q":       func(w *watched) { w.types("q") },
		"Ctrl-C":  func(w *watched) { w.types("\x03") },
		"SIGTERM": func(w *watched) { w.signal(syscall.SIGTERM) },
		"SIGHUP":  func(w *watched) { w.signal(syscall.SIGHUP) },
	} {
		t.Run(name, func(t *testing.T) {
			w := watch(t, 100, 30, url)
			w.shows("the page", func(frame []string) bool { return len(frame) == 30 && strings.Contains(frame[1], "POISON") })
			end(w)
			w.ends()
		})
	}
}

// It is drawn for the window, whatever size that has, and can be scrolled.
func TestTerminalWatchWindow(t *testing.T) {
	w := watch(t, 100, 30, answers(t, 200, string(madeDocument(t, "away"))), rabbittest.DeadPort(t))
	w.shows("both", func(frame []string) bool {
		return len(frame) == 30 && strings.Contains(frame[0], "DOES NOT ANSWER") && strings.Contains(strings.Join(frame, "\n"), "BROKER AWAY")
	})
	w.resize(60, 12)
	w.shows("a small window", func(frame []string) bool {
		for _, line := range frame {
			if len([]rune(line)) > 60 {
				return false
			}
		}
		return len(frame) == 12 && strings.Contains(frame[11], "q ends; arrows and space scroll: 0 lines above")
	})
	w.types("\x1b[B")
	w.shows("a line further", func(frame []string) bool { return len(frame) == 12 && strings.Contains(frame[11], ": 1 lines above") })
	w.types("\x1b[A")
	w.shows("the begin", func(frame []string) bool { return len(frame) == 12 && strings.Contains(frame[11], ": 0 lines above") })
	for range 10 {
		w.types(" ")
	}
	w.shows("the end", func(frame []string) bool {
		return len(frame) == 12 && strings.Contains(frame[11], ", 0 below") && strings.Contains(strings.Join(frame, "\n"), "webhooks")
	})
	w.types("q")
	w.ends()
}
