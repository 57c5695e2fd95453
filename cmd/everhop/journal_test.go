package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// What consume has put into a journal, verify finds right and replay tells.
func TestConsumeJournal(t *testing.T) {
	server := oneQueue(t, "1", "2", "3", "4")
	dir := filepath.Join(t.TempDir(), "journal")
	for range 2 {
		status, _, stderr := inProcess(t, "consume", "--url", server.URL(), "--queue", "q", "--count", "2", "--journal", dir)
		if status != 0 {
			t.Fatal(stderr)
		}
	}
	status, stdout, stderr := inProcess(t, "verify", dir)
	// 8 events, and those that tell of a busy machine, such as stalled
	if status != 0 || !regexp.MustCompile(`^checked           ([89]|1\d) events, seq 1 to ([89]|1\d), of 2 runs\n`).MatchString(stdout) {
		t.Errorf("verify: exit status %d\n%s%s", status, stdout, stderr)
	}
	status, stdout, stderr = inProcess(t, "replay", dir)
	if status != 0 || strings.Count(stdout, "Consuming") < 4 {
		t.Errorf("replay: exit status %d\n%s%s", status, stdout, stderr)
	}

	status, stdout, stderr = inProcess(t, "graph", "--journal", dir)
	if status != 0 || !strings.Contains(stdout, `"Connecting" -> "Consuming" [label="Connected 2×`) {
		t.Errorf("graph: exit status %d\n%s%s", status, stdout, stderr)
	}
	status, stdout, stderr = inProcess(t, "graph", "--journal", dir, "--format", "mermaid")
	if status != 0 || !strings.Contains(stdout, "Connecting --> Consuming : Connected 2×") {
		t.Errorf("graph: exit status %d\n%s%s", status, stdout, stderr)
	}

	segments, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	text, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	unsealed := strings.Replace(string(text), `"crc"`, `"crd"`, 1) // line 1 looks like one of a log
	if err := os.WriteFile(segments[0], []byte(unsealed), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := inProcess(t, "verify", dir); status != 3 || !strings.Contains(stderr, segments[0]+":1 is damaged") {
		t.Errorf("verify of a damaged first line: exit status %d, %s", status, stderr)
	}
	changed := strings.Replace(string(text), "Connected", "connected", 1)
	if err := os.WriteFile(segments[0], []byte(changed), 0o600); err != nil { // line 1 is a snapshot
		t.Fatal(err)
	}
	if status, _, stderr := inProcess(t, "verify", dir); status != 3 || !strings.Contains(stderr, segments[0]+":4 is damaged") {
		t.Errorf("verify of a damaged journal: exit status %d, %s", status, stderr)
	}
}

// A run that ended without Stop is closed in the journal, and the next one consumes, and keeps consuming.
func TestConsumeAfterAKill(t *testing.T) {
	server := oneQueue(t)
	dir := t.TempDir()
	makeJournal(t, dir, consumer.Lifecycle(), consumer.Connect)
	p := prepareAlone(t, "consume", "--url", server.URL(), "--queue", "q", "--count", "1", "--journal", dir, "--name", "q-1").start()
	rabbittest.Eventually(t, patience, "it consumes", func() bool {
		q, _ := server.Queue("q")
		return q.Consumers == 1
	})
	if err := server.Publish("q", "1"); err != nil {
		t.Fatal(err)
	}
	p.wait(0)
	restarted := regexp.MustCompile(`"machine":"q-1",.*"trigger":"ProcessRestarted"`).MatchString(p.stderr.String())
	if got := p.stdout.String(); got != "1\n" || !restarted {
		t.Errorf("%q\n%s", got, &p.stderr)
	}
}

// makeJournal makes a journal with two events of a table, and returns its only segment.
func makeJournal(t *testing.T, dir string, table *fsm.Table, trigger fsm.Trigger) (segment string) {
	t.Helper()
	journal, err := journal.Open(dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	machine, err := fsm.New(table, fsm.Options{Journal: journal})
	if err != nil {
		t.Fatal(err)
	}
	_, fired := machine.Fire(trigger, fsm.Evidence{})
	_, recorded := machine.Record(fsm.KindBoot, "", fsm.Evidence{})
	if err := errors.Join(fired, recorded, journal.Close()); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "00000000000000000001.jsonl")
}

// tear leaves a segment as a crash does.
func tear(t *testing.T, segment string) {
	t.Helper()
	file, err := os.OpenFile(segment, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(`{"v":1,"ki`)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// unwritable makes a directory whose path is so long that there can be a lock in it, but no segment: root may
// write everything else.
func unwritable(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for {
		if _, err := os.Stat(filepath.Join(dir, "00000000000000000001.jsonl")); !errors.Is(err, os.ErrNotExist) {
			return dir
		}
		dir = filepath.Join(dir, "0123456789")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// By default everhop consumes without its journal, and says so once; with --journal-strict it does not begin.
func TestJournalNotWritable(t *testing.T) {
	for _, strict := range []bool{false, true} {
		server := oneQueue(t, "1")
		dir := unwritable(t)
		status, stdout, stderr := inProcess(t, "consume", "--url", server.URL(), "--queue", "q", "--count", "1",
			"--journal", dir, "--journal-strict="+strconv.FormatBool(strict))
		stderr = strings.ReplaceAll(stderr, dir, "DIR")
		said := strings.Count(stderr, `"message":"the journal cannot be written; consuming goes on without"`)
		lost := len(regexp.MustCompile(`"error":"journal: the last ([5-9]|1\d) events are not in the journal: open DIR/`).FindAllString(stderr, -1)) // 5, or more on a busy machine
		if !strict && (status != 0 || stdout != "1\n" || said != 1 || lost != 1) {
			t.Errorf("exit status %d, %q; said %d times, lost %d\n%s", status, stdout, said, lost, stderr)
		}
		if strict && (status != 1 || stdout != "" || said != 0 || !strings.Contains(stderr, ": journal refused boot event 1 ")) {
			t.Errorf("strict: exit status %d, %q\n%s", status, stdout, stderr)
		}
	}
}

// A full disk must not keep a consumer from starting again; a wrong directory may.
func TestJournalIsDoneWithout(t *testing.T) {
	for fault, want := range map[error]bool{
		syscall.ENOSPC: true, syscall.EROFS: true, syscall.EIO: true, syscall.EDQUOT: true,
		syscall.EACCES: false, syscall.ENOTDIR: false, journal.ErrLocked: false, &journal.CorruptError{}: false,
	} {
		err := fmt.Errorf("--journal: %w", errors.Join(&os.PathError{Op: "open", Path: "lock", Err: fault}))
		if got := (&journalFlags{}).canDoWithout(err); got != want {
			t.Errorf("%v: %v, want %v", fault, got, want)
		}
		if (&journalFlags{strict: true}).canDoWithout(err) {
			t.Errorf("%v: done without, and strict", fault)
		}
	}
}

// A journal that cannot be used is no fault of the command line. Nothing has happened then.
func TestJournalRefused(t *testing.T) {
	door, err := fsm.NewTable("Open", []fsm.State{"Open", "Closed"}, []fsm.Row{{From: []fsm.State{"Open"}, Trigger: "Close", To: "Closed", Doc: "pulled shut"}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		spoil  func(t *testing.T, dir string)
		status int
		want   []string // DIR is the journal's directory
	}{
		{"in use", func(t *testing.T, dir string) {
			journal, err := journal.Open(dir, journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { journal.Close() })
		}, 1, []string{"DIR is written by pid " + strconv.Itoa(os.Getpid()) + " on "}},
		{"damaged", func(t *testing.T, dir string) {
			segment := makeJournal(t, dir, consumer.Lifecycle(), consumer.Connect)
			text, err := os.ReadFile(segment)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(text), "Connecting", "connecting", 1)
			if err := os.WriteFile(segment, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
		}, 3, []string{"DIR/00000000000000000001.jsonl:2 is damaged at byte ", "'everhop verify DIR' tells", "--repair only sets a torn last line aside\n"}},
		{"of another table", func(t *testing.T, dir string) { makeJournal(t, dir, door, "Close") },
			1, []string{`DIR is not a consumer's: the journal ends at seq 2 in "Closed", which the table does not declare`}},
		{"no directory", func(t *testing.T, dir string) {
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, 1, []string{"mkdir DIR: "}},
	}
	for _, tt := range tests {
		for _, args := range []string{"consume --url amqp://127.0.0.1:1 --queue q", "demo --dot GRAPH"} {
			t.Run(tt.name+"/"+args[:strings.Index(args, " ")], func(t *testing.T) {
				graph, dir := filepath.Join(t.TempDir(), "run.dot"), filepath.Join(t.TempDir(), "journal")
				if err := os.WriteFile(graph, []byte("yesterday's"), 0o600); err != nil {
					t.Fatal(err)
				}
				tt.spoil(t, dir)
				args := append(strings.Fields(strings.ReplaceAll(args, "GRAPH", graph)), "--journal", dir)
				for range 2 { // the second time, too: it is not left locked
					status, stdout, stderr := inProcess(t, args...)
					if status != tt.status || stdout != "" || !strings.HasPrefix(stderr, "everhop: --journal: ") || strings.Count(stderr, "\n") != 1 {
						t.Errorf("exit status %d, want %d; stdout %q, stderr\n%s", status, tt.status, stdout, stderr)
					}
					for _, want := range tt.want {
						if want = strings.ReplaceAll(want, "DIR", dir); !strings.Contains(stderr, want) {
							t.Errorf("no %q in\n%s", want, stderr)
						}
					}
				}
				if got, err := os.ReadFile(graph); string(got) != "yesterday's" {
					t.Errorf("the graph: %q, %v", got, err)
				}
			})
		}
	}
}

// What somebody does to a journal while it is written is said once, and with --journal-strict it is an error.
func TestJournalSpoiled(t *testing.T) {
	const failure = `"message":"the journal cannot be written; consuming goes on without"`
	tests := []struct {
		name, command string // the command is run in the journal's directory
		flags         []string
		status        int
		want          string // in standard error
		whole         bool   // what is there is right
	}{
		{"removed", "rm *.jsonl", nil, 0, `"missing":`, true},
		{"removed, strict", "rm *.jsonl", []string{"--journal-strict"}, 1,
			"everhop: --journal-strict: the journal is not whole: ", true},
		{"blocked", "rm *.jsonl lock && mkdir lock", nil, 0, `"message":"the journal is not whole"`, false},
		{"blocked, strict", "rm *.jsonl lock && mkdir lock", []string{"--journal-strict"}, 1,
			"events are not in the journal: open ", false},
		{"left alone, strict", "true", []string{"--journal-strict"}, 0, `"message":"stopped"`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := oneQueue(t, "1")
			dir := filepath.Join(t.TempDir(), "journal")
			status, _, stderr := inProcess(t, append([]string{"consume", "--url", server.URL(), "--queue", "q", "--count", "1",
				"--journal", dir, "--exec", "cd '" + dir + "' && " + tt.command}, tt.flags...)...)
			if status != tt.status || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit status %d, want %d and %q in\n%s", status, tt.status, tt.want, stderr)
			}
			said := strings.Count(stderr, failure)
			if spoiled := tt.command != "true"; spoiled && said != 1 || !spoiled && said != 0 || strings.Contains(stderr, "synced") {
				t.Errorf("said %d times:\n%s", said, stderr)
			}
			if status, stdout, stderr := inProcess(t, "verify", dir); (status == 0) != tt.whole {
				t.Errorf("verify: exit status %d\n%s%s", status, stdout, stderr)
			}
		})
	}
}

// The consumer's syncs reach the disk; what is wrong then is logged, and no news for the consumer. Retention is
// what the flag says.
func TestOpenJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the journal's timer does not come between
		var log transcript
		flags := journalFlags{dir: filepath.Join(t.TempDir(), "journal"), retain: leastRetain}
		journal, err := flags.open(flags.dir, history.Consumer(), zerolog.New(&log))
		if err != nil {
			t.Fatal(err)
		}
		machine, err := fsm.New(consumer.Lifecycle(), fsm.Options{Journal: journal})
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			if _, err := machine.Record(fsm.KindNote, "remark", fsm.Evidence{Note: strings.Repeat("x", 100)}); err != nil {
				t.Fatal(err)
			}
		}
		kept := byteSize(0)
		segments, err := filepath.Glob(filepath.Join(flags.dir, "*.jsonl"))
		for _, segment := range segments {
			info, err := os.Stat(segment)
			if err != nil {
				t.Fatal(err)
			}
			kept += byteSize(info.Size())
		}
		if err != nil || kept < leastRetain/2 || kept > leastRetain*5/4 {
			t.Errorf("%d bytes in %d segments are kept, %v; want about %d", kept, len(segments), err, leastRetain)
		}
		if err := errors.Join(journal.Sync(), os.RemoveAll(flags.dir)); err != nil || log.String() != "" {
			t.Errorf("%v, %s", err, &log)
		}
		err = journal.Sync()
		if got := log.String(); err != nil || strings.Count(got, "\n") != 1 || !strings.Contains(got, "was removed") {
			t.Errorf("%v, %s", err, got)
		}
		if err := journal.finish(); err != nil {
			t.Error(err)
		}
		if got := log.String(); !strings.Contains(got, `"message":"the journal is written again"`) {
			t.Error(got)
		}
	})
}

func TestSize(t *testing.T) {
	for text, want := range map[string]byteSize{
		"65536": 65536, "64KB": 65536, "64k": 65536, "64MB": 64 << 20, "2g": 2 << 30, "64KiB": 65536, "64mib": 64 << 20, "65536B": 65536,
		"64 MB": 0, "63KB": 0, "-1": 0, "": 0, "MB": 0, "1025GB": 0, "9999999999999GB": 0, "1.5MB": 0, "65536iB": 0, "64Mi": 0, "64MBB": 0,
	} {
		var got byteSize
		err := size(&got, leastRetain).Set(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
		if want == 64<<20 && got.String() != "64MiB" {
			t.Errorf("%q is told as %v", text, got)
		}
		var again byteSize
		if err == nil && (size(&again, leastRetain).Set(got.String()) != nil || again != got) {
			t.Errorf("%q: %v is %d", text, got, again)
		}
	}
}

func TestVerifyRepair(t *testing.T) {
	dir := t.TempDir()
	segment := makeJournal(t, dir, consumer.Lifecycle(), consumer.Connect)
	tear(t, segment)
	if status, _, stderr := inProcess(t, "verify", dir); status != 3 || !strings.Contains(stderr, "damaged") {
		t.Errorf("torn: exit status %d, %s", status, stderr)
	}
	if status, stdout, _ := inProcess(t, "replay", dir); status != 0 || !strings.Contains(stdout, "Connecting") {
		t.Errorf("replay of a torn journal: exit status %d, %s", status, stdout)
	}
	status, stdout, stderr := inProcess(t, "verify", "--repair", dir)
	if status != 0 || !strings.HasPrefix(stdout, "checked           3 events") || !strings.Contains(stderr, segment+".torn") {
		t.Errorf("repaired: exit status %d\n%s%s", status, stdout, stderr)
	}
	if status, _, stderr := inProcess(t, "verify", "--repair", segment); status != 1 || !strings.Contains(stderr, "is not the directory of a journal") {
		t.Errorf("a file: exit status %d, %s", status, stderr)
	}
}

func TestGraphWithoutGraphviz(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	status, _, stderr := inProcess(t, "graph", "--format", "svg")
	if status != 1 || !strings.Contains(stderr, "--format svg: Graphviz is not installed") {
		t.Errorf("exit status %d, %s", status, stderr)
	}
}
