package dedup

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// logbook is the plainest memory: for each id, what happened since it became known.
type logbook struct {
	ids        map[string][]string
	remembered []string // the youngest last
}

func (l *logbook) atWork(id string) int {
	n := 0
	for _, step := range l.ids[id] {
		if step == "fresh" || step == "again" {
			n++
		} else {
			n--
		}
	}
	return n
}

// settled: no message of the id has failed, or there was but one, and it was handled in the end.
func (l *logbook) settled(id string) bool {
	log := l.ids[id]
	if len(log) == 0 || l.atWork(id) > 0 {
		return false
	}
	if used := slices.Index(log[1:], "fresh"); used >= 0 {
		first := log[:1+used]
		return !slices.Contains(log[1+used:], "fail") && (!slices.Contains(first, "fail") || first[len(first)-1] == "done")
	}
	return log[len(log)-1] == "done"
}

func (l *logbook) end(id, how string, memory int) {
	l.ids[id] = append(l.ids[id], how)
	l.remembered = append(slices.DeleteFunc(l.remembered, func(s string) bool { return s == id }), id)
	if len(l.remembered) > memory {
		oldest := l.remembered[0]
		l.remembered = l.remembered[1:]
		l.forget(oldest)
	}
	l.forget(id)
}

func (l *logbook) forget(id string) {
	if l.atWork(id) == 0 && !slices.Contains(l.remembered, id) {
		delete(l.ids, id)
	}
}

func TestWindowAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		memory := rapid.IntRange(0, 4).Draw(t, "memory")
		w, model, giveUp := New(memory), &logbook{ids: map[string][]string{}}, noPatience()
		ids := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"})
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				id := ids.Draw(t, "id")
				redelivered := rapid.Bool().Draw(t, "redelivered")
				want, how := goOn, "fresh"
				if redelivered {
					how = "again"
					if model.atWork(id) > 0 {
						want = gaveUp
					} else if model.settled(id) {
						want = suppress
					}
				}
				handled, ok := w.Begin(id, redelivered, giveUp)
				if got := fmt.Sprintf("handled=%v ok=%v", handled, ok); got != want {
					t.Fatalf("%s; want %s after %v", got, want, model.ids[id])
				}
				if want == goOn {
					model.ids[id] = append(model.ids[id], how)
				}
			},
			"end": func(t *rapid.T) {
				id, how := ids.Draw(t, "id"), rapid.SampledFrom([]string{"done", "fail"}).Draw(t, "how")
				if model.atWork(id) == 0 {
					t.Skip("nobody is at work")
				}
				w.End(id, how == "done")
				model.end(id, how, memory)
			},
			"": func(t *rapid.T) {
				if diff := cmp.Diff(model.remembered, remembered(w), equalEmpty); diff != "" || len(w.marks) != len(model.ids) {
					t.Fatalf("%d marks, want %d; remembered (-want +got):\n%s", len(w.marks), len(model.ids), diff)
				}
			},
		})
	})
}

var equalEmpty = cmp.Transformer("empty", func(ids []string) string { return fmt.Sprint(ids) })

func remembered(w *Window) (ids []string) {
	for m := w.ring.younger; m != &w.ring; m = m.younger {
		ids = append(ids, m.id)
	}
	return ids
}
