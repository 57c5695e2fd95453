package rabbittest

import (
	"fmt"
	"io"
	"os/exec"
)

// watchdog is a shell that outlives this process for a moment. It reads, line by
// line, the process groups it guards; each line takes the place of the one before. The end of its input
// means that this process stopped the node or is gone, however it went: the shell
// kills what it guards and removes the folder.
type watchdog struct {
	shell *process
	input io.WriteCloser
}

// A machine that is being killed may still create a file while its folder is
// removed, hence the second try.
const watch = `
while read -r line; do groups=$line; done
for group in $groups; do kill -s KILL -- "-$group"; done
rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }
`

func startWatchdog(dir string) (*watchdog, error) {
	cmd := exec.Command("sh", "-c", watch, "rabbittest-watchdog", dir)
	cmd.Dir = "/"
	ownGroup(cmd)
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("rabbittest: watchdog: %w", err)
	}
	shell, err := launch(cmd)
	if err != nil {
		return nil, fmt.Errorf("rabbittest: watchdog: %w", err)
	}
	return &watchdog{shell: shell, input: input}, nil
}

// guard names the processes to kill; nil stands for none. A shell that is gone, because
// somebody killed it, is no reason to fail: the node works, only unguarded.
func (w *watchdog) guard(processes ...*process) {
	var line []any
	for _, p := range processes {
		if p != nil {
			line = append(line, p.cmd.Process.Pid)
		}
	}
	fmt.Fprintln(w.input, line...)
}

// stop has the shell do its work and waits for it.
func (w *watchdog) stop() error {
	w.input.Close()
	<-w.shell.done
	if state := w.shell.cmd.ProcessState; !state.Success() {
		return fmt.Errorf("rabbittest: watchdog: %s", state)
	}
	return nil
}
