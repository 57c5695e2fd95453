//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/cmd/everhop/internal/record"
	"github.com/everhop/everhop/cmd/everhop/internal/scripts"
)

// An evening of an operator: what a queue's handler needs is away for a minute, thirty messages are poison in three ways,
// and the consumer is started anew in between. Then it is looked at and repaired: each message ends where it belongs.
func TestEveningOfAnOperator(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	t.Parallel()
	rabbittest.NeedsControl(t)
	const orders, ofEachKind = 2000, 10
	var bodies []string
	for i := range orders {
		kind := "order"
		if i%66 == 7 && i/66 < 3*ofEachKind { // 7, 73, 139, ...
			kind = [...]string{"no-json", "no-customer", "crash"}[i/66%3]
		}
		bodies = append(bodies, fmt.Sprintf("%s %d", kind, i))
	}
	queue := newQueueOf(t, "quorum", bodies...)
	dir := t.TempDir()
	away, done, script := filepath.Join(dir, "away"), filepath.Join(dir, "done"), filepath.Join(dir, "handle.sh")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(away, "")
	scripts.Write(t, script, `#!/bin/sh
read -r kind n
if [ "$kind" = no-json ]; then echo "line $n: invalid character" >&2; exit 65; fi
if [ -e `+away+` ]; then echo "connect: connection refused" >&2; exit 75; fi
if [ "$kind" = no-customer ] && ! [ -e `+dir+`/customers ]; then echo "customer $n: not found" >&2; exit 65; fi
if [ "$kind" = crash ]; then echo "panic: index $n out of range" >&2; exit 2; fi
echo "$n" >> `+done+"\n")
	consume := func() *program {
		t.Helper()
		return prepare(t, "consume", "--queue", queue, "--exec", script, "--concurrency", "16", "--attempts", "3", "--backoff", "100ms",
			"--journal", filepath.Join(dir, "journal"), "--listen", "0").start()
	}
	handled := func() map[string]int {
		t.Helper()
		times := map[string]int{}
		text, err := os.ReadFile(done)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for n := range strings.Lines(string(text)) {
			times[strings.TrimSpace(n)]++
		}
		return times
	}
	await := func(what string, want int) {
		t.Helper()
		rabbittest.Eventually(t, 5*time.Minute, what, func() bool { return len(handled()) >= want })
	}

	first := consume()
	time.Sleep(30 * time.Second)
	first.signal(syscall.SIGTERM)
	first.wait(0)
	second := consume()
	time.Sleep(30 * time.Second)
	if n := len(handled()); n > 0 {
		t.Errorf("%d were handled while that was away which they need", n)
	}
	if err := os.Remove(away); err != nil {
		t.Fatal(err)
	}
	await("the orders are handled", orders-3*ofEachKind)
	parked := queue + ".parked"
	holds(t, parked, 3*ofEachKind)
	holds(t, queue, 0)

	url := shownAt.FindStringSubmatch(second.stderr.String())[1]
	if _, page, stderr := inProcess(t, "status", url); !strings.Contains(page, queue) || !strings.Contains(page, "parked") {
		t.Errorf("status: %s%s", page, stderr)
	}
	asks := func(args ...string) (stdout string) {
		t.Helper()
		p := everhop(t, 0, "", args...)
		return p.stdout.String()
	}
	groups := asks("parked", "list", parked, "--group", "--output", "jsonl")
	var found []string
	for line := range strings.Lines(groups) {
		var group struct {
			Error string
			From  []string
			Count int
		}
		if err := json.Unmarshal([]byte(line), &group); err != nil {
			t.Fatal(err, line)
		}
		if !slices.Equal(group.From, []string{queue}) || group.Count != ofEachKind {
			t.Errorf("group: %s", line)
		}
		found = append(found, group.Error)
	}
	if len(found) != 3 {
		t.Errorf("the groups are\n%s", groups)
	}

	write(filepath.Join(dir, "customers"), "") // now there are these customers
	asks("parked", "retry", parked, "--error", "customer .* not found", "--yes")
	await("those of the customers, too", orders-2*ofEachKind)
	holds(t, parked, 2*ofEachKind)
	kept := filepath.Join(dir, "discarded.jsonl")
	asks("parked", "discard", parked, "--error", "invalid character", "--to", kept, "--yes")
	holds(t, parked, ofEachKind)
	holds(t, queue, 0)
	second.signal(syscall.SIGTERM)
	second.wait(0)

	ends := map[string]int{} // of each message, how often
	for n := range handled() {
		ends[n]++
	}
	count := func(records string) {
		t.Helper()
		for line := range strings.Lines(records) {
			m, err := record.Read([]byte(strings.TrimSuffix(line, "\n")))
			if err != nil {
				t.Fatal(err)
			}
			ends[strings.Fields(string(m.Body))[1]]++
		}
	}
	discarded, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	count(string(discarded))
	count(asks("peek", parked, "--count", fmt.Sprint(2*ofEachKind), "--output", "jsonl"))
	for i := range orders {
		if n := ends[fmt.Sprint(i)]; n != 1 {
			t.Errorf("message %d has %d ends", i, n)
		}
	}
	// The journal tells of the same, both runs together.
	if told := asks("replay", filepath.Join(dir, "journal"), "--messages"); !strings.Contains(told, queue) {
		t.Errorf("replay: %s", told)
	}
}
