package consumer_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFileMap: the list in doc.go names every file once, and no other.
func TestFileMap(t *testing.T) {
	var listed []string
	for _, line := range regexp.MustCompile(`(?m)^//\t  (\w+\.go) +\S`).FindAllStringSubmatch(read(t, "doc.go"), -1) {
		listed = append(listed, line[1])
	}
	slices.Sort(listed)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") || f == "doc.go" })
	if !slices.Equal(listed, files) {
		t.Errorf("doc.go lists\n%q, there are\n%q", listed, files)
	}
}
