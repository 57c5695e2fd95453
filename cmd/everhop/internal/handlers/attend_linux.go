package handlers

import (
	"errors"
	"io"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// waitable asks for a descriptor that tells when the command has ended.
func waitable(cmd *exec.Cmd) {
	none := -1
	cmd.SysProcAttr.PidFD = &none
}

// soon is for how many milliseconds nothing but the command's end is waited for: most short commands end within that, and
// what they have written is read then, all at once.
const soon = 2

// attend passes on what a command writes until it has ended:
//
//	standard output ─┐
//	standard error  ─┼─ poll ── read ── write
//	the command     ─┘
//
// The goroutine that has started the command does so, on its own thread. To wake up others, and to be woken up by them, takes
// longer than all else that everhop does for a command. What may have to wait is left to goroutines (see copy): for the reader
// of our output, or for the rest of a line.
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
		if o.read == nil && !o.told {
			fds[i] = unix.PollFd{Fd: int32(o.ours.fd), Events: unix.POLLIN}
			left = true
		}
	}
	return left
}

// passOn reads once, and passes on. It returns false if that might have to wait.
func (o *commandOutput) passOn(events int16) bool {
	s := o.to
	switch {
	case len(o.held) > 0:
		return false
	case events == unix.POLLHUP && o.ours.isEmpty(): // nothing to be written: as of most commands' standard error
		o.take(0, io.EOF, nil)
		o.pipes.release(o.ours)
		return true
	case !s.isPrompt() || !s.mu.TryLock():
		return false
	}
	defer s.mu.Unlock()
	o.held, s.buffer = s.buffer, nil
	if n, err := o.ours.Read(o.space()); o.take(n, err, s.write) {
		o.pipes.release(o.ours)
	}
	if len(o.held) == 0 {
		o.held, s.buffer = nil, o.held
	}
	return true
}

// isPrompt tells whether a write there waits neither for a reader, as that to a pipe may, nor for a terminal.
func (s *shared) isPrompt() bool {
	s.look.Do(func() {
		file, ok := term.Behind(s.w).(*os.File)
		if !ok {
			return
		}
		info, err := file.Stat()
		s.prompt = err == nil && (info.Mode().IsRegular() || isNull(info))
	})
	return s.prompt
}

// isNull tells whether a file is the one to which everything can be written, and from which nothing comes.
func isNull(info os.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(null, info)
}
