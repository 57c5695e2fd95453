//go:build unix

package rabbittest

import (
	"os/exec"
	"syscall"
)

func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

func stopGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGSTOP) }

func continueGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGCONT) }
