package rabbittest

import "os/exec"

// process is a child in a process group of its own, so that it neither gets the
// terminal's Ctrl-C nor outlives the kill of its group.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has ended
	err  error         // how, from then on
}

func launch(cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// kill ends the group and waits for the child.
func (p *process) kill() {
	select {
	case <-p.done: // the number of a group that is gone may be another's by now
		return
	default:
	}
	killGroup(p.cmd)
	<-p.done
}
