package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// The list in doc.go names every file once, and no other; what there is for each system is one.
func TestFileMap(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var listed, files []string
	for _, line := range regexp.MustCompile(`(?m)^//\t  (\w+\.go) +\S`).FindAllSubmatch(text, -1) {
		listed = append(listed, string(line[1]))
	}
	slices.Sort(listed)
	found, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		if file = regexp.MustCompile(`_(unix|linux|other)\.go$`).ReplaceAllString(file, ".go"); file != "doc.go" && !regexp.MustCompile(`_test\.go$`).MatchString(file) {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	if files = slices.Compact(files); !slices.Equal(listed, files) {
		t.Errorf("doc.go lists\n%q, there are\n%q", listed, files)
	}
}
