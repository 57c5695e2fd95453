package rabbittest

// Freeze stops the node's processes (SIGSTOP): its sockets stay open, and nothing is answered. Thaw has it go on. A
// node that is not running has nothing to freeze. Frozen for more than a minute, it counts as gone for others.
func (n *Node) Freeze() error { return n.signal(stopGroup) }

// Thaw undoes Freeze.
func (n *Node) Thaw() error { return n.signal(continueGroup) }

func (n *Node) signal(send func(pid int) error) error {
	if n.foreign {
		return errForeignNode
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server == nil {
		return nil
	}
	return send(n.server.cmd.Process.Pid)
}
