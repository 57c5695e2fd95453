package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// There is a page for each command, with all its flags, and nothing for man(7) to complain of.
func TestMan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	if status, stdout, stderr := inProcess(t, "man", dir); status != 0 || stdout+stderr != "" {
		t.Fatalf("exit status %d, %s%s", status, stdout, stderr)
	}
	groff, noGroff := exec.LookPath("groff")
	root := newRoot(nil, nil, nil)
	for _, args := range helped(root) {
		cmd, _, err := root.Find(args)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, pageName(cmd)+".1")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if want := `\fB` + roff("--"+f.Name) + `\fR`; !strings.Contains(string(text), want) {
				t.Errorf("%s: --%s is missing", file, f.Name)
			}
		})
		if noGroff == nil {
			if said, err := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z", file).CombinedOutput(); err != nil || len(said) > 0 {
				t.Errorf("%v, %s", err, said)
			}
		}
	}
}

func TestManPage(t *testing.T) {
	for text, want := range map[string]string{
		".profile":           `\&.profile`,
		"a\n'b' and .c":      "a\n" + `\&'b' and .c`,
		`\n, --queue and \b`: `\en, \-\-queue and \eb`,
	} {
		if got := roff(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got, want := paragraphOf("a:\n  b  c"), ".PP\n.nf\na:\n  b  c\n.fi\n"; got != want {
		t.Errorf("what is indented: %q", got)
	}
}

func TestManFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "")
	if status, _, stderr := inProcess(t, "man", filepath.Join(file, "man1")); status != 1 || !strings.Contains(stderr, file) {
		t.Errorf("exit status %d, %s", status, stderr)
	}
	if status, _, stderr := inProcess(t, "man"); status != 2 || stderr != "everhop: DIR is missing; see 'everhop man --help'\n" {
		t.Errorf("exit status %d, %s", status, stderr)
	}
}

// Who types the name alone wants to know what there is.
func TestBareEverhop(t *testing.T) {
	_, help, _ := inProcess(t, "--help")
	if status, stdout, stderr := inProcess(t); status != 0 || stdout != help || stderr != "" {
		t.Errorf("exit status %d, stderr %q, stdout\n%s", status, stderr, stdout)
	}
}
