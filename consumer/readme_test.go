package consumer_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestReadme: the picture and the program in the README are those of the code.
func TestReadme(t *testing.T) {
	readme := read(t, "../README.md")
	program := read(t, "example_test.go")
	begin := strings.Index(program, "func Example() {\n") + len("func Example() {\n")
	program = program[begin : begin+strings.Index(program[begin:], "\n}\n")+1]
	program = strings.Replace(program, "{url}", fmt.Sprintf("{%q}", url), 1)
	for what, want := range map[string]string{
		"the drawing in testdata/lifecycle.mmd": read(t, testdata+"/lifecycle.mmd"),
		"the table in testdata/lifecycle.md":    read(t, testdata+"/lifecycle.md"),
		"the body of Example":                   "func main() {\n" + program + "}\n",
	} {
		if !strings.Contains(readme, want) {
			t.Errorf("README.md does not hold %s", what)
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
