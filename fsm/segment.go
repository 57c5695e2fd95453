package fsm

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A segment is a file named after the Seq of its first event, in twenty digits,
// so that the names sort as the events do.
const segmentExt = ".jsonl"

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentExt) }

// isSegment reports whether a file of that name is part of a journal.
func isSegment(name string) bool {
	digits, ok := strings.CutSuffix(name, segmentExt)
	if !ok || len(digits) != 20 {
		return false
	}
	_, err := strconv.ParseUint(digits, 10, 64)
	return err == nil
}

// segments returns the paths of a directory's segments, the oldest first.
func segments(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, entry := range entries {
		if isSegment(entry.Name()) {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	return paths, nil
}

// files returns what is to be read for path: a directory's segments, or the file.
func files(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return segments(path)
	}
	return []string{path}, nil
}

// setAside returns a name beside path that is not taken, for what is torn off it.
func setAside(path string) string {
	aside := path + ".torn"
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); err != nil {
			return aside
		}
		aside = fmt.Sprintf("%s.torn.%d", path, n)
	}
}
