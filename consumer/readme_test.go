package consumer_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// What the READMEs show of the code is the code's: the program, the picture, the table.
func TestReadme(t *testing.T) {
	program := strings.NewReplacer(
		"package consumer_test", "package main",
		"// The program of the README.\n", "",
		"func Example()", "func main()",
		"{url}", fmt.Sprintf("{%q}", url),
	).Replace(read(t, "example_program_test.go"))
	for _, tt := range []struct{ file, what, want string }{
		{"../README.md", "example_program_test.go as a program", "```go\n" + program + "```\n"},
		{"../README.md", "testdata/lifecycle.mmd", read(t, testdata+"/lifecycle.mmd")},
		{"README.md", "testdata/lifecycle.md", read(t, testdata+"/lifecycle.md")},
	} {
		if !strings.Contains(read(t, tt.file), tt.want) {
			t.Errorf("%s does not hold %s:\n%s", tt.file, tt.what, tt.want)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
