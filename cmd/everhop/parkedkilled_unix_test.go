//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
)

// Killed at any moment, neither retry nor discard has lost a message: each is in at least one of the two places, and the next
// run brings the rest there.
func TestParkedKilled(t *testing.T) {
	const n, kills = 1000, 8
	for name, tt := range map[string]struct {
		command string
		moved   func(t *testing.T, server *brokertest.Server, file string) []string
	}{
		"retry": {"parked retry q.parked --yes --url URL", func(_ *testing.T, server *brokertest.Server, _ string) []string { return ids(server, "q") }},
		"discard": {"parked discard q.parked --yes --to FILE --url URL", func(t *testing.T, _ *brokertest.Server, file string) []string {
			return idsIn(t, file)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			amid := 0
			for round := range kills {
				server := parkedQueue(t, n)
				file := filepath.Join(t.TempDir(), "discarded")
				run := func() *program {
					return prepareAlone(t, strings.Fields(strings.NewReplacer("URL", server.URL(), "FILE", file).Replace(tt.command))...).start()
				}
				left := func() []string { return ids(server, "q.parked") }
				p, after := run(), rand.IntN(n)
				acknowledged := func() int { q, _ := server.Queue("q.parked"); return q.Acknowledged }
				for acknowledged() < after {
					time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
				}
				p.signal(syscall.SIGKILL)
				_ = p.cmd.Wait() // it may have been at its end
				rabbittest.Eventually(t, patience, "the broker has taken back what was held", func() bool { return len(server.Connections()) == 0 })
				moved := tt.moved(t, server, file)
				t.Logf("round %d: killed after %d: %d moved, %d left", round, after, len(moved), len(left()))
				if k := len(left()); k > 0 && k < n {
					amid++
				}
				wantAll(t, n, moved, left())

				if broken := name == "discard" && torn(file); broken {
					moved = tt.moved(t, server, file)
					file += "2"
				} else {
					moved = nil
				}
				run().wait(0)
				if k := len(left()); k > 0 {
					t.Errorf("after another run: %d are left", k)
				}
				wantAll(t, n, moved, tt.moved(t, server, file))
			}
			if amid == 0 {
				t.Error("never killed amid its work")
			}
		})
	}
}

func wantAll(t *testing.T, n int, places ...[]string) {
	t.Helper()
	found := map[string]bool{}
	for _, place := range places {
		for _, id := range place {
			found[id] = true
		}
	}
	var missing []string
	for _, id := range someIDs(n, everyID) {
		if !found[id] {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		t.Errorf("%d are lost, such as %s", len(missing), missing[0])
	}
}

// idsIn are the messages of a file, whose last line may have no end.
func idsIn(t *testing.T, file string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var message struct {
			ID string `json:"message_id"`
		}
		if err := json.Unmarshal([]byte(line), &message); err != nil {
			t.Error(fmt.Errorf("%s: %w", line, err))
		}
		list = append(list, message.ID)
	}
	return list
}

func torn(file string) bool {
	text, err := os.ReadFile(file)
	return err == nil && len(text) > 0 && text[len(text)-1] != '\n'
}
