package journal_test

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

func TestReadOnlyDirectory(t *testing.T) {
	o := newOutage(t, journal.Options{SegmentBytes: 1})
	m := newMachine(t, doorTable(t), fsm.Options{Journal: o})
	fire(t, m, "Knock")
	whileReadOnly(t, o.dir, func() { fire(t, m, "Knock") })
	if len(o.failures) != 1 || !errors.Is(o.failures[0], os.ErrPermission) {
		t.Errorf("told %v", o.failures)
	}
	fire(t, m, "Knock")
	o.Close()
	replayed(t, o.dir, "Closed")
}

// whileReadOnly does something that cannot write into a directory, also if it is root that does it, who may
// write anywhere: its thread touches files as somebody else.
func whileReadOnly(t *testing.T, dir string, do func()) {
	t.Helper()
	const nobody = 65534
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if os.Getuid() == 0 {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := syscall.Setfsuid(nobody); err != nil {
			t.Fatal(err)
		}
		defer syscall.Setfsuid(0)
	}
	do()
}
