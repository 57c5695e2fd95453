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
	for _, dir := range []string{".", "internal/handlers", "internal/record"} {
		text, err := os.ReadFile(filepath.Join(dir, "doc.go"))
		if err != nil {
			t.Fatal(err)
		}
		var listed, files []string
		for _, line := range regexp.MustCompile(`(?m)^//\t(?:  )?(\w+\.go) +\S`).FindAllSubmatch(text, -1) {
			listed = append(listed, string(line[1]))
		}
		slices.Sort(listed)
		found, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			file = regexp.MustCompile(`_(unix|linux|other)\.go$`).ReplaceAllString(filepath.Base(file), ".go")
			if file != "doc.go" && !regexp.MustCompile(`_test\.go$`).MatchString(file) {
				files = append(files, file)
			}
		}
		slices.Sort(files)
		if files = slices.Compact(files); !slices.Equal(listed, files) {
			t.Errorf("%s: doc.go lists\n%q, there are\n%q", dir, listed, files)
		}
	}
}
