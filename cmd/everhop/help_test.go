package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// The help of each command is testdata/help/COMMAND.txt.
func TestHelp(t *testing.T) {
	const folder = "testdata/help"
	goldens := map[string]bool{}
	for _, args := range helped(newRoot(nil, nil, nil)) {
		name := strings.Join(append([]string{"everhop"}, args...), " ")
		file := strings.ReplaceAll(name, " ", "_") + ".txt"
		goldens[file] = true
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := inProcess(t, append(args, "--help")...)
			if status != 0 || stderr != "" {
				t.Fatalf("exit status %d, stderr %q", status, stderr)
			}
			if !strings.Contains(stdout, "Examples:\n  ") {
				t.Error("no examples")
			}
			golden.Assert(t, stdout, "help/"+file)
			if _, viaHelp, _ := inProcess(t, append([]string{"help"}, args...)...); viaHelp != stdout {
				t.Errorf("everhop help says something else:\n%s", cmp.Diff(stdout, viaHelp))
			}
		})
	}
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		if !goldens[file.Name()] {
			t.Errorf("%s is of no command; delete it", filepath.Join(folder, file.Name()))
		}
	}
}

// helped are the arguments that lead to cmd and to each command below, but not to those that cobra
// brings along, whose words are its own.
func helped(cmd *cobra.Command) [][]string {
	if name := cmd.Name(); name == "help" || name == "completion" {
		return nil
	}
	var path []string
	for c := cmd; c.HasParent(); c = c.Parent() {
		path = append([]string{c.Name()}, path...)
	}
	all := [][]string{path}
	for _, sub := range cmd.Commands() {
		all = append(all, helped(sub)...)
	}
	return all
}
