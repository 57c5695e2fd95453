package main

import "testing"

func TestReplaySummary(t *testing.T) {
	p := night(t)
	tells(t, p, map[string]string{"summary": "--summary"})
	path := p.journal()
	_, all, _ := inProcess(t, "replay", path)
	_, timeline, _ := inProcess(t, "replay", path, "--no-summary")
	_, summary, _ := inProcess(t, "replay", path, "--summary")
	if timeline+summary != all {
		t.Error("timeline and summary are not all")
	}
}
