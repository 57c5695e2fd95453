//go:build !unix

package rabbittest

import (
	"errors"
	"os/exec"
)

func ownGroup(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }

func stopGroup(int) error { return errors.ErrUnsupported }

func continueGroup(int) error { return errors.ErrUnsupported }
