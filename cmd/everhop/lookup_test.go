//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/everhop/everhop/cmd/everhop/internal/scripts"
)

func TestPlainProgram(t *testing.T) {
	tests := []struct{ line, want string }{
		{"cat", "cat"},
		{" \t./handle.sh --to 'a b' \"$EVERHOP_QUEUE\"", "./handle.sh"},
		{"curl -fsS -d @- http://localhost/", "curl"},
		{"jq . > file", "jq"},
		{"jq . >file 2>&1", "jq"},
		{"g++ x.cc", "g++"},
		{"", ""},
		{"jq . || cat", ""},
		{"jq . | cat", ""},
		{"jq .; cat", ""},
		{"jq .&", ""},
		{"jq .\ncat", ""},
		{"(cat)", ""},
		{"f () { cat; }", ""},
		{"A=1 cat", ""},
		{"$HANDLER", ""},
		{"~/handle.sh", ""},
		{"'my handler'", ""},
		{"a*", ""},
		{"{ cat; }", ""},
		{"! cat", ""},
		{"# cat", ""},
		{">x cat", ""},
		{"-x", ""},
		{"caf\u00e9", ""},
	}
	for _, tt := range tests {
		if got := plainProgram(tt.line); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.line, got, tt.want)
		}
	}
}

// A command that is not there is an error at the start, in one line; when in doubt it is there.
func TestExecLookup(t *testing.T) {
	t.Chdir(t.TempDir())
	scripts.Write(t, "good.sh", "#!/bin/sh\n")
	if err := os.WriteFile("plain.sh", []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("folder", 0o755); err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs("good.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"./good.sh x", absolute, "cat", "test -n x", "exit 3", ". ./missing.sh", "nosuchprogram || true", "X=1 nosuchprogram", "if true; then cat; fi"} {
		if err := checkCommand(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	tests := []struct{ line, want string }{
		{"nosuchprogram -x", "--exec: nosuchprogram: not found in PATH, and none of the shell's own commands"},
		{"good.sh", "--exec: good.sh: not found in PATH, and none of the shell's own commands"},
		{"./missing.sh", "--exec: ./missing.sh: no such file or directory"},
		{"./plain.sh", "--exec: ./plain.sh: permission denied"},
		{"./folder", "--exec: ./folder: is a directory"},
		{"./good.sh/x", "--exec: ./good.sh/x: not a directory"},
	}
	refuses := func(line, want string) {
		t.Helper()
		status, stdout, stderr := inProcess(t, "consume", "--queue", "q", "--url", "amqp://localhost:1", "--exec", line)
		if status != 2 || stdout != "" || stderr != "everhop: "+want+"; see 'everhop consume --help'\n" {
			t.Errorf("%s: exit status %d, %q", line, status, stderr)
		}
	}
	for _, tt := range tests {
		refuses(tt.line, tt.want)
	}
	t.Setenv("PATH", t.TempDir())
	refuses("exit 3", `--exec: there is no shell "sh": executable file not found in $PATH`)
	scripts.Write(t, filepath.Join(os.Getenv("PATH"), "sh"), "#!/no/such/interpreter\n")
	refuses("cat", "--exec: the shell "+filepath.Join(os.Getenv("PATH"), "sh")+" cannot be started: no such file or directory")
}
