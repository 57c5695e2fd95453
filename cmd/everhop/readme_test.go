package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// What history/README.md shows is what the commands print. There, " …" ends a line that goes on, and "…" stands
// for lines left out.
func TestReadmeShowsThePast(t *testing.T) {
	t.Chdir("../..")
	readme, err := os.ReadFile("consumer/history/README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)```console\n\\$ everhop (.*?)\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	drawn := regexp.MustCompile("(?s)```mermaid\n(.*?)```").FindStringSubmatch(string(readme))
	if len(shown) < 3 || drawn == nil {
		t.Fatalf("it shows %d commands and %d drawings", len(shown), len(drawn))
	}
	for _, block := range append(shown, []string{"", "graph --journal testdata/night --format mermaid", drawn[1]}) {
		t.Run(block[1], func(t *testing.T) {
			status, stdout, stderr := inProcess(t, strings.Fields(block[1])...)
			if status != 0 || stderr != "" {
				t.Fatalf("exit status %d, %s", status, stderr)
			}
			shows(t, strings.Split(strings.TrimSuffix(block[2], "\n"), "\n"), strings.Split(strings.TrimSuffix(stdout, "\n"), "\n"))
		})
	}
}

// shows compares what is shown with what was printed.
func shows(t *testing.T, shown, printed []string) {
	t.Helper()
	for i, line := range shown {
		if line == "…" {
			if i == len(shown)-1 {
				return
			}
			for len(printed) > 0 && !isShown(shown[i+1], printed[0]) {
				printed = printed[1:]
			}
			continue
		}
		if len(printed) == 0 || !isShown(line, printed[0]) {
			t.Fatalf("the README shows\n%s\nand what is printed there is\n%s", line, strings.Join(printed, "\n"))
		}
		printed = printed[1:]
	}
	if len(printed) > 0 {
		t.Errorf("the README does not show\n%s", strings.Join(printed, "\n"))
	}
}

func isShown(line, printed string) bool {
	if begin, cut := strings.CutSuffix(line, "…"); cut {
		return strings.HasPrefix(printed, begin)
	}
	return line == printed
}
