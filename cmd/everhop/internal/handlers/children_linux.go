package handlers

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// killedWithUs has a command killed when everhop is: its message comes again, and should not be handled twice at once.
func killedWithUs(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL }

// reapPause is how long orphans may lie about: many that end at once are looked for once.
const reapPause = 100 * time.Millisecond

// reapOrphans waits for processes that have ended and are children of this one only by adoption.
func (c *children) reapOrphans() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	for {
		c.reap()
		select {
		case <-ended:
		case <-c.over:
			return
		}
		select {
		case <-time.After(reapPause):
		case <-c.over:
			return
		}
	}
}

// reap leaves those that were started here to who waits for them.
func (c *children) reap() {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil { // it is gone
			continue
		}
		pid, zombie, parent := readStat(stat)
		if !zombie || parent != os.Getpid() {
			continue
		}
		c.starting.Lock()
		if _, ours := c.pids.Load(pid); !ours {
			for {
				if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); !errors.Is(err, unix.EINTR) {
					break
				}
			}
		}
		c.starting.Unlock()
	}
}

// readStat reads a process's line: "17 (a name) Z 1 ...", where the name may hold anything.
func readStat(stat []byte) (pid int, zombie bool, parent int) {
	name, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if name < 0 || end < name {
		return 0, false, 0
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 2 {
		return 0, false, 0
	}
	pid, _ = strconv.Atoi(string(bytes.TrimSpace(stat[:name])))
	parent, _ = strconv.Atoi(string(fields[1]))
	return pid, string(fields[0]) == "Z", parent
}
