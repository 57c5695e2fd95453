package main

import "testing"

func TestReplayJSON(t *testing.T) {
	tells(t, night(t), map[string]string{
		"json":    "--json",
		"at-json": "--at 01:30 --json",
	})
}
