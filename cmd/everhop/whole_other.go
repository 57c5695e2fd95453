//go:build !unix

package main

import (
	"os/exec"

	"github.com/everhop/everhop/consumer"
)

// whole is nothing where commands inherit no files but the three of old.
type whole struct{}

func offer(*exec.Cmd) (*whole, error) { return nil, nil }

func (*whole) begin(*consumer.Delivery) {}

func (*whole) withdraw() {}
