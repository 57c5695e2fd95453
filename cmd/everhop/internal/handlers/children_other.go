//go:build !linux

package handlers

import "os/exec"

// killedWithUs does nothing where a process cannot ask for that.
func killedWithUs(*exec.Cmd) {}

// reapOrphans does nothing: here everhop is not the first process.
func (c *children) reapOrphans() {}
