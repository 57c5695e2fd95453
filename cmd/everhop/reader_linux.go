package main

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// watchReader calls gone when nobody reads from w any more, which a write would find out only with
// the next message: after `everhop consume | head -1` that may be much later, and somebody else
// should get it. The returned function ends the watching, and waits for it.
func watchReader(w io.Writer, gone func()) (stop func()) {
	none := func() {}
	file, ok := w.(*os.File)
	if !ok {
		return none
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeSocket) == 0 {
		return none
	}
	wake, stopper, err := os.Pipe() // whose end wakes the poll
	if err != nil {
		return none
	}
	var watcher sync.WaitGroup
	watcher.Go(func() {
		defer wake.Close()
		if hangsUp(int32(file.Fd()), int32(wake.Fd())) {
			gone()
		}
	})
	return func() {
		stopper.Close()
		watcher.Wait()
	}
}

// hangsUp waits until the other end of fd or of wake is closed, and tells whether it is fd's.
func hangsUp(fd, wake int32) bool {
	const hangup = unix.POLLERR | unix.POLLHUP // reported without being asked for
	for {
		fds := []unix.PollFd{{Fd: fd}, {Fd: wake}}
		if _, err := unix.Poll(fds, -1); errors.Is(err, unix.EINTR) {
			continue
		}
		return fds[0].Revents&hangup != 0
	}
}
