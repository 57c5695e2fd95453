package main

import (
	"errors"
	"io"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// plainPipe makes a pipe that Go's poller does not know, which would wake up a thread for whatever is written.
func plainPipe() (read, write *os.File, err error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	return os.NewFile(uintptr(ends[0]), "|0"), os.NewFile(uintptr(ends[1]), "|1"), nil
}

// pollable is an end of a plain pipe for a goroutine that waits. It takes no thread for that, if there is a descriptor left.
func pollable(plain *os.File) *os.File {
	fd, err := unix.FcntlInt(plain.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return plain
	}
	_ = unix.SetNonblock(fd, true)
	plain.Close()
	return os.NewFile(uintptr(fd), plain.Name())
}

// waitable asks for a descriptor that tells when the command has ended.
func waitable(cmd *exec.Cmd) {
	none := -1
	cmd.SysProcAttr.PidFD = &none
}

// soon is within how many milliseconds the end of most commands comes that are short.
const soon = 2

// attend passes on what a command writes until it has ended:
//
//	standard output ─┐
//	standard error  ─┼─ poll ── read ── write
//	the command     ─┘
//
// The goroutine that has started the command does so, on its own thread. To wake up others, and to be woken up by them, takes
// longer than all else that everhop does for a command; for one that ends soon, even to be woken up for what it writes. What
// may have to wait is left to goroutines (see copy): for the reader of our output, or for the rest of a line.
func attend(cmd *exec.Cmd, outputs commandOutputs) {
	defer outputs.copy()
	command := *cmd.SysProcAttr.PidFD
	if command < 0 { // an old kernel
		return
	}
	defer func() { _ = unix.Close(command) }()
	fds := make([]unix.PollFd, len(outputs)+1)
	fds[len(outputs)] = unix.PollFd{Fd: int32(command), Events: unix.POLLIN}
	_, _ = unix.Poll(fds[len(outputs):], soon)
	for patience := -1; outputs.attended(fds); {
		switch _, err := unix.Poll(fds, patience); {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return
		}
		for i, o := range outputs {
			if events := fds[i].Revents; events != 0 && !o.passOn(events) {
				outputs[i : i+1].copy()
			}
		}
		if patience == 0 {
			return
		}
		if fds[len(outputs)].Revents != 0 { // it has ended: once more, for the ends of its outputs
			patience = 0
		}
	}
}

// attended tells whether there are outputs left that no goroutine copies, and sets their places in fds.
func (outputs commandOutputs) attended(fds []unix.PollFd) bool {
	left := false
	for i, o := range outputs {
		fds[i] = unix.PollFd{Fd: -1}
		if !o.copied && !o.told {
			fds[i] = unix.PollFd{Fd: int32(o.read.Fd()), Events: unix.POLLIN}
			left = true
		}
	}
	return left
}

// passOn reads once, and passes on. It returns false if that might have to wait.
func (o *commandOutput) passOn(events int16) bool {
	n, err, s := 0, io.EOF, o.to
	if len(o.held) > 0 || !s.mu.TryLock() {
		return false
	}
	defer s.mu.Unlock()
	if events != unix.POLLHUP {
		if file, ok := term.Behind(s.w).(*os.File); !ok || !hasRoom(file) {
			return false
		}
		n, err = o.read.Read(o.space())
	}
	if o.take(n, err, s.write) {
		o.read.Close()
	}
	return true
}
