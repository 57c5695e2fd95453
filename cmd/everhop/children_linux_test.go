package main

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

// A command does not outlive an everhop that is killed.
func TestExecKilledWithEverhop(t *testing.T) {
	t.Parallel()
	server := oneQueue(t, "1", "2")
	p := prepareAlone(t, "consume", "--queue", "q", "--url", server.URL(), "--concurrency", "2", "--exec", `trap "" TERM; echo $$; exec sleep 60`).start()
	rabbittest.Eventually(t, patience, "both are at work", func() bool { return strings.Count(p.stdout.String(), "\n") == 2 })
	p.signal(syscall.SIGKILL)
	p.wait(-1)
	for _, pid := range strings.Fields(p.stdout.String()) {
		rabbittest.Eventually(t, patience, "the command is gone", func() bool {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			_, zombie, _ := readStat(stat)
			return err != nil || zombie
		})
	}
}

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

// As the first process of a container: nothing lies about, and commands' exit statuses are theirs.
func TestExecAsFirstProcess(t *testing.T) {
	t.Parallel()
	unshare := []string{"--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"}
	if out, err := exec.Command("unshare", append(unshare, "true")...).CombinedOutput(); err != nil {
		t.Skipf("needs PID namespaces, which unshare of util-linux makes where the kernel allows it: %v, %s", err, out)
	}
	server := oneQueue(t, "1", "2", "3", "4")
	const command = `
		zombies() { grep -l "^State:.Z" /proc/[0-9]*/status | wc -l; }
		sleep 0.3 # what the last one has left has ended
		tries=300
		while test $(zombies) -gt 0 -a $tries -gt 0; do sleep 0.1; tries=$((tries - 1)); done
		echo $PPID $(zombies)
		sleep 0.05 > /dev/null 2>&1 &
		exit 0`
	p := prepareAlone(t, "consume", "--queue", "q", "--url", server.URL(), "--count", "4", "--attempts", "1", "--exec", command)
	p.cmd.Args = append(append([]string{"unshare"}, unshare...), append([]string{os.Args[0]}, p.cmd.Args[1:]...)...)
	p.cmd.Path, _ = exec.LookPath("unshare")
	p.start()
	p.wait(0)
	if got := p.stdout.String(); got != strings.Repeat("1 0\n", 4) || acknowledged(server) != 4 {
		t.Errorf("%q, %d acknowledged\n%s", got, acknowledged(server), &p.stderr)
	}
}
