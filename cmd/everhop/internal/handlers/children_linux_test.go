package handlers

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/everhop/everhop/broker/rabbittest"
)

// Orphans that have ended are waited for, and what was started here is left to who waits for it.
func TestReap(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	c := newChildren()
	defer c.end()
	isZombie := func(pid int) bool {
		stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		is, zombie, parent := readStat(stat)
		return is == pid && zombie && parent == os.Getpid()
	}

	var out strings.Builder
	parent := exec.Command("sh", "-c", "sh -c 'echo $$' & exit 3")
	parent.Stdout = &out
	parent.SysProcAttr = &syscall.SysProcAttr{}
	waitable(parent)
	if err := c.start(parent); err != nil {
		t.Fatal(err)
	}
	rabbittest.Eventually(t, patience, "the parent has ended", func() bool { return isZombie(parent.Process.Pid) })
	if c.reap(); !isZombie(parent.Process.Pid) {
		t.Error("somebody else's was waited for")
	}
	if err := c.wait(parent, nil); parent.ProcessState.ExitCode() != 3 {
		t.Errorf("the parent's end: %v", err)
	}
	orphan, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	rabbittest.Eventually(t, patience, "the orphan is gone", func() bool {
		c.reap()
		return syscall.Kill(orphan, 0) == syscall.ESRCH
	})
}

func TestReadStat(t *testing.T) {
	for text, want := range map[string][3]int{
		"17 (sh) Z 1 17 17 0":      {17, 1, 1},
		"18 (a (b) Z 9) S 20 1 \n": {18, 0, 20},
		"19 (a\nb) Z 1":            {19, 1, 1},
		"":                         {},
		"20 sh Z 1":                {},
		") 20 (":                   {},
		"21 (sh)":                  {},
	} {
		pid, zombie, parent := readStat([]byte(text))
		if got := [3]int{pid, map[bool]int{true: 1}[zombie], parent}; got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
