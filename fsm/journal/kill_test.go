//go:build unix

package journal_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// killDir tells a copy of the test binary to be the writer that is killed, killSmall
// that each event begins a segment and removes the one before.
const (
	killDir   = "FSM_TEST_KILL_DIR"
	killSmall = "FSM_TEST_KILL_SMALL"
)

// A writer is killed 200 times, at any moment: nothing that it said was synced is
// lost, and what was written is never damaged.
func TestKillNine(t *testing.T) {
	if dir := os.Getenv(killDir); dir != "" {
		o := journal.Options{SegmentBytes: 64 << 10, RetainBytes: 1 << 30}
		if os.Getenv(killSmall) != "" {
			o = journal.Options{SegmentBytes: 1, RetainBytes: 1}
		}
		writeUntilKilled(t, dir, o)
		return
	}
	killOften(t, 200)
}

// A writer is killed while it begins and removes segments, as it does all the time:
// the journal never begins anew.
func TestKillNineDuringRetention(t *testing.T) {
	t.Setenv(killSmall, "1")
	killOften(t, 60)
}

func killOften(t *testing.T, rounds int) {
	if testing.Short() {
		rounds /= 10
	}
	dir := memoryDir(t)
	var synced, total uint64
	torn := 0
	for round := range rounds {
		synced = max(synced, killOnce(t, dir, time.Duration(round%20)*500*time.Microsecond))
		j, err := journal.Open(dir, journal.Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		last, _ := j.Last()
		if last.Seq < synced || last.Seq < total {
			t.Fatalf("round %d: the journal ends at %d; %d was synced, and it ended at %d before", round, last.Seq, synced, total)
		}
		if j.Torn() != "" {
			torn++
		}
		total = last.Seq
		j.Close()
	}
	var damage error
	if _, err := fsm.Replay(doorTable(t), journal.Until(journal.Read(dir), &damage)); err != nil || damage != nil {
		t.Errorf("Replay: %v, %v", err, damage)
	}
	t.Logf("killed %d times: %d events, %d said to be synced, none lost; %d torn lines set aside", rounds, total, synced, torn)
}

// fullDir tells a copy of the test binary to meet a limit of the operating system.
const fullDir = "FSM_TEST_FULL_DIR"

// A file that may not grow: the real error, in the middle of a real write.
func TestFileSizeLimit(t *testing.T) {
	if dir := os.Getenv(fullDir); dir != "" {
		writeBeyondTheLimit(t, dir)
		return
	}
	dir := t.TempDir()
	writer := exec.Command(os.Args[0], "-test.run=^TestFileSizeLimit$")
	writer.Env = append(os.Environ(), fullDir+"="+dir)
	if out, err := writer.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var s fsm.Summary
	if err := fsm.Project(journal.Read(dir), &s); err != nil || s.Gaps != 1 || s.Missing == 0 || s.LastSeq != 101 {
		t.Errorf("%v, %+v", err, s)
	}
	replayed(t, dir, "Closed")
}

func writeBeyondTheLimit(t *testing.T, dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	limit := was
	limit.Cur = 10_001
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	var failures []error
	j := openJournal(t, dir, journal.Options{OnFailure: func(err error) { failures = append(failures, err) }})
	m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
	for range 100 {
		fire(t, m, "Knock")
	}
	if len(failures) != 1 || !errors.Is(failures[0], syscall.EFBIG) {
		t.Errorf("told %v", failures)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	fire(t, m, "Knock")
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// killOnce runs a writer for some time after its first sync, and returns the
// newest event it said was synced.
func killOnce(t *testing.T, dir string, after time.Duration) (synced uint64) {
	writer := exec.Command(os.Args[0], "-test.run=^TestKillNine$")
	writer.Env = append(os.Environ(), killDir+"="+dir)
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		seq, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			t.Fatalf("the writer says %q", lines.Text())
		}
		if synced == 0 {
			time.AfterFunc(after, func() { writer.Process.Kill() })
		}
		synced = seq
	}
	var exit *exec.ExitError
	if err := writer.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the writer was not killed: %v", err)
	}
	return synced
}

func writeUntilKilled(t *testing.T, dir string, o journal.Options) {
	j := openJournal(t, dir, o)
	m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
	for {
		for range 5 {
			fire(t, m, map[fsm.State]fsm.Trigger{"Closed": "Open", "Open": "Close"}[m.State()])
		}
		if err := j.Sync(); err != nil {
			t.Fatal(err)
		}
		fmt.Println(m.Last().Seq)
	}
}
