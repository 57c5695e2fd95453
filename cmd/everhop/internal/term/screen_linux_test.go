package term

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/everhop/everhop/cmd/everhop/internal/deadend"
)

const panicEnv = "EVERHOP_TEST_PANIC"

func TestMain(m *testing.M) {
	switch os.Getenv(panicEnv) {
	case "":
		os.Exit(m.Run())
	case "here":
		screen, err := To(os.Stdout).TakeOver()
		if err != nil {
			panic(err)
		}
		defer screen.Leave()
		panic("on purpose")
	default:
		screen, err := To(os.Stdout).TakeOver()
		if err != nil {
			panic(err)
		}
		go func() {
			defer screen.LeaveOnPanic()
			panic("on purpose")
		}()
		select {}
	}
}

// A panic leaves the terminal as it was, and its words can be read.
func TestScreenPanic(t *testing.T) {
	for _, where := range []string{"here", "elsewhere"} {
		t.Run(where, func(t *testing.T) {
			tty, master := deadend.Terminal(t)
			defer master.Close()
			before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			var screen bytes.Buffer
			read := make(chan struct{})
			go func() { _, _ = io.Copy(&screen, master); close(read) }()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), panicEnv+"="+where)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Run(); err == nil {
				t.Error("there was no panic")
			}
			after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			tty.Close()
			<-read
			if *before != *after {
				t.Errorf("the terminal was\n%+v and is\n%+v", *before, *after)
			}
			if _, said, left := strings.Cut(screen.String(), string(WrapLines+ShowCursor+firstScreen)); !left || !strings.Contains(said, "panic: on purpose") {
				t.Errorf("the screen got %q", screen.String())
			}
		})
	}
}
