//go:build !linux

package rabbittest

import (
	"context"
	"errors"
	"os/exec"
)

func makeRoot(context.Context, string, string) error { return errors.New("that needs Linux") }

func enter(string, layout, string, ...string) *exec.Cmd { panic("there is no root") }
