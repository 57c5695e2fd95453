package publish_test

import (
	"os"
	"strings"
	"testing"

	"github.com/everhop/everhop/consumer/publish"
)

// What the README shows of the code is the code's: the program, the table, the picture.
func TestReadme(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, program, _ := strings.Cut(read("example_test.go"), "// The program of the README.\n")
	program, _, found := strings.Cut(program, "\nfunc Example()")
	if !found {
		t.Fatal("no program in example_test.go")
	}
	readme := read("README.md")
	for what, want := range map[string]string{
		"the program of example_test.go": "```go\n" + strings.TrimSpace(program) + "\n```\n",
		"the table":                      publish.Lifecycle().Markdown(),
		"the picture":                    "```mermaid\n" + publish.Lifecycle().Mermaid() + "```\n",
	} {
		if !strings.Contains(readme, want) {
			t.Errorf("README.md does not hold %s:\n%s", what, want)
		}
	}
}
