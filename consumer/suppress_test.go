package consumer

import (
	"fmt"
	"strings"
	"testing"
)

// play plays a script of these steps, and compares what begin says:
//
//	fresh  a first delivery; it is never suppressed
//	again  a redelivery that is to be handled
//	spare  a redelivery that is suppressed
//	wait   a redelivery that would have to wait
//	done   the end of one, handled to its end
//	fail   the end of one, not so
func play(t *testing.T, r *recent, id, script string) {
	t.Helper()
	for i, step := range strings.Fields(script) {
		got := step
		switch step {
		case "done", "fail":
			r.end(id, step == "done")
		default:
			switch handled, ok := r.begin(id, step != "fresh", noPatience()); {
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

func TestRecent(t *testing.T) {
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
			r := newRecent(1)
			play(t, r, "before", "fresh fail")
			play(t, r, "it", "fresh fail") // so that the id is given a used mark
			play(t, r, "id", script)
		})
	}
}

func TestRecentWithoutID(t *testing.T) {
	r := newRecent(10)
	play(t, r, "", "fresh again done again done again fail")
	if len(r.marks) != 0 {
		t.Errorf("tracked: %v", r.marks)
	}
}

func TestRecentForgetsTheOldest(t *testing.T) {
	r := newRecent(3)
	for _, id := range []string{"a", "b", "c"} {
		play(t, r, id, "fresh done")
	}
	play(t, r, "a", "spare")      // which does not make it young
	play(t, r, "b", "fresh done") // which does
	play(t, r, "d", "fresh done") // a is forgotten
	play(t, r, "c", "spare")
	play(t, r, "a", "again")
	play(t, r, "e", "fresh fail") // c is; failures count
	play(t, r, "b", "spare")
	play(t, r, "c", "again")
	play(t, r, "a", "done") // b is
	play(t, r, "b", "again fail")
	play(t, r, "d", "again wait") // d was, but now it is being handled
	play(t, r, "c", "wait")
	if len(r.marks) != 5 || r.length != 3 {
		t.Errorf("%d marks, %d remembered", len(r.marks), r.length)
	}
}

func TestRecentWithoutMemory(t *testing.T) {
	for _, memory := range []int{0, -1} {
		r := newRecent(memory)
		play(t, r, "a", "fresh wait done again wait fail again done")
		if len(r.marks) != 0 {
			t.Errorf("%d marks", len(r.marks))
		}
	}
}

func TestRecentAllocatesNothing(t *testing.T) {
	ids := make([]string, 10_000)
	for i := range ids {
		ids[i] = fmt.Sprint("id ", i)
	}
	r, i := newRecent(100), 0
	message := func() {
		id := ids[i%len(ids)]
		i++
		r.begin(id, false, nil)
		r.end(id, true)
		if handled, _ := r.begin(id, true, nil); !handled {
			t.Fatal("not suppressed")
		}
	}
	for range ids {
		message()
	}
	if n := testing.AllocsPerRun(len(ids), message); n != 0 {
		t.Errorf("%v allocations", n)
	}
	checkRecentIdle(t, r)
}

func BenchmarkRecent(b *testing.B) {
	ids := make([]string, 100_000)
	for i := range ids {
		ids[i] = fmt.Sprint("id ", i)
	}
	r, i := newRecent(10_000), 0
	b.ReportAllocs()
	for b.Loop() {
		id := ids[i%len(ids)]
		i++
		r.begin(id, false, nil)
		r.end(id, true)
	}
}
