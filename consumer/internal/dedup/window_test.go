package dedup

import (
	"fmt"
	"strings"
	"testing"
)

// play plays a script of these steps, and compares what begin says:
//
//	fresh  a first delivery; it is never deduplicated
//	again  a redelivery that is to be handled
//	spare  a redelivery that is deduplicated
//	wait   a redelivery that would have to wait
//	done   the end of one, handled to its end
//	fail   the end of one, not so
func play(t *testing.T, w *Window, id, script string) {
	t.Helper()
	for i, step := range strings.Fields(script) {
		got := step
		switch step {
		case "done", "fail":
			w.End(id, step == "done")
		default:
			switch handled, ok := w.Begin(id, step != "fresh", noPatience()); {
			case !ok:
				got = "wait"
			case handled:
				got = "spare"
			case step != "fresh":
				got = "again"
			}
		}
		if got != step {
			t.Fatalf("%q: %s: step %d: %s", id, script, i, got)
		}
	}
}

func TestWindow(t *testing.T) {
	for name, script := range map[string]string{
		"handled":                         "fresh done spare spare",
		"failed":                          "fresh fail again fail again done spare",
		"first seen as a redelivery":      "again done spare",
		"being handled":                   "fresh wait done spare",
		"being handled again":             "fresh fail again wait done spare",
		"a used id is no reason":          "fresh done fresh done fresh done spare",
		"nor one in use":                  "fresh fresh fresh done done done spare",
		"all of an id are waited for":     "fresh fresh wait done wait done spare",
		"the second failed":               "fresh done fresh wait fail again done again fail",
		"the first failed":                "fresh fail fresh done again done again done",
		"one of two failed":               "fresh fresh fail done again done again done",
		"the other of two failed":         "fresh fresh done fail again done again done",
		"failed, handled, used again":     "fresh fail again done fresh done spare",
		"used again while handled again":  "fresh fail again fresh done done again done",
		"delivered late, after its twin":  "again fresh done done spare",
		"delivered late, and one of them": "again fresh done fail again done",
	} {
		t.Run(name, func(t *testing.T) {
			w := New(1)
			play(t, w, "before", "fresh fail")
			play(t, w, "it", "fresh fail") // so that the id is given a used mark
			play(t, w, "id", script)
		})
	}
}

func TestWindowWithoutID(t *testing.T) {
	w := New(10)
	play(t, w, "", "fresh again done again done again fail")
	if len(w.marks) != 0 {
		t.Errorf("tracked: %v", w.marks)
	}
}

func TestWindowForgetsTheOldest(t *testing.T) {
	w := New(3)
	for _, id := range []string{"a", "b", "c"} {
		play(t, w, id, "fresh done")
	}
	play(t, w, "a", "spare")      // which does not make it young
	play(t, w, "b", "fresh done") // which does
	play(t, w, "d", "fresh done") // a is forgotten
	play(t, w, "c", "spare")
	play(t, w, "a", "again")
	play(t, w, "e", "fresh fail") // c is; failures count
	play(t, w, "b", "spare")
	play(t, w, "c", "again")
	play(t, w, "a", "done") // b is
	play(t, w, "b", "again fail")
	play(t, w, "d", "again wait") // d was, but now it is being handled
	play(t, w, "c", "wait")
	if len(w.marks) != 5 || w.length != 3 {
		t.Errorf("%d marks, %d remembered", len(w.marks), w.length)
	}
}

func TestWindowWithoutMemory(t *testing.T) {
	for _, memory := range []int{0, -1} {
		w := New(memory)
		play(t, w, "a", "fresh wait done again wait fail again done")
		if len(w.marks) != 0 {
			t.Errorf("%d marks", len(w.marks))
		}
	}
}

func TestWindowAllocatesNothing(t *testing.T) {
	ids := make([]string, 10_000)
	for i := range ids {
		ids[i] = fmt.Sprint("id ", i)
	}
	w, i := New(100), 0
	message := func() {
		id := ids[i%len(ids)]
		i++
		w.Begin(id, false, nil)
		w.End(id, true)
		if handled, _ := w.Begin(id, true, nil); !handled {
			t.Fatal("not deduplicated")
		}
	}
	for range ids {
		message()
	}
	if n := testing.AllocsPerRun(len(ids), message); n != 0 {
		t.Errorf("%v allocations", n)
	}
	checkIdle(t, w)
}

func BenchmarkWindow(b *testing.B) {
	ids := make([]string, 100_000)
	for i := range ids {
		ids[i] = fmt.Sprint("id ", i)
	}
	w, i := New(10_000), 0
	b.ReportAllocs()
	for b.Loop() {
		id := ids[i%len(ids)]
		i++
		w.Begin(id, false, nil)
		w.End(id, true)
	}
}
