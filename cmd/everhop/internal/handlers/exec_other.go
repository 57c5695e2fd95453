//go:build !unix

package handlers

import "os/exec"

// Without process groups only the command itself can be ended, and only at once.

func ownGroup(*exec.Cmd) {}

func terminateGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

func groupExists(*exec.Cmd) bool { return false }
