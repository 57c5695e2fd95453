//go:build darwin || linux

package doctor

import (
	"os"
	"strings"
	"syscall"
)

// fileLimit is how many files may be open.
func fileLimit() (uint64, error) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return limit.Cur, err
}

// space is how many bytes are free where a directory is.
func space(dir string) (uint64, error) {
	var found syscall.Statfs_t
	err := syscall.Statfs(dir, &found)
	return found.Bavail * uint64(found.Bsize), err
}

// locked is who holds the lock, "" if nobody does.
func locked(path string) (holder string) {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN) // at once, also in a child that is just being started
		return ""
	}
	text, _ := os.ReadFile(path)
	if said := strings.TrimSpace(string(text)); said != "" {
		return said
	}
	return "another process"
}
