package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

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
			return err != nil || bytes.Contains(stat, []byte(") Z "))
		})
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
