package journal

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A segment is a file named after the Seq of its first event, in twenty digits,
// so that the names sort as the events do.
const segmentExt = ".jsonl"

// asideExt is behind the name of a segment in those of what was set aside of it.
const asideExt = ".torn"

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentExt) }

// IsSegment reports whether a file has the name of a part of a journal. It does not
// look into it.
func IsSegment(path string) bool {
	digits, ok := strings.CutSuffix(filepath.Base(path), segmentExt)
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
		if IsSegment(entry.Name()) {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	return paths, nil
}

// asides returns the names of what was set aside in a directory, the newest first.
func asides(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var infos []fs.FileInfo
	for _, entry := range entries {
		segment, _, ok := strings.Cut(entry.Name(), asideExt)
		if info, err := entry.Info(); ok && IsSegment(segment) && err == nil {
			infos = append(infos, info)
		}
	}
	slices.SortStableFunc(infos, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	names := make([]string, len(infos))
	for i, info := range infos {
		names[i] = info.Name()
	}
	return names
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
	aside := path + asideExt
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); err != nil {
			return aside
		}
		aside = fmt.Sprintf("%s%s.%d", path, asideExt, n)
	}
}
