package publish

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A lane settles what a plain list of what is open would, whatever confirms come.
func TestLaneSettles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		l, open := newLane(defaultCredit), map[uint64]bool{}
		for range rapid.IntRange(1, 200).Draw(r, "steps") {
			if rapid.IntRange(0, 2).Draw(r, "step") > 0 {
				l.begin(&Confirmation{number: l.sent + 1})
				open[l.sent] = true
				continue
			}
			// Some were confirmed before, and a broken broker may confirm what was never sent.
			n := rapid.Uint64Range(0, l.sent+2).Draw(r, "n")
			multiple := rapid.Bool().Draw(r, "multiple")
			var want, got []uint64
			for i := range open {
				if i == n || multiple && i <= n {
					want = append(want, i)
					delete(open, i)
				}
			}
			slices.Sort(want)
			l.settled(n, multiple, func(c *Confirmation) { got = append(got, c.number) })
			if !slices.Equal(got, want) {
				r.Fatalf("%d, multiple %v: %v, want %v", n, multiple, got, want)
			}
		}
		var rest []uint64
		for _, c := range l.rest() {
			rest = append(rest, c.number)
		}
		if want := slices.Sorted(maps.Keys(open)); !slices.Equal(rest, want) || len(l.open) != 0 {
			r.Fatalf("%v is left, want %v", rest, want)
		}
	})
}

// Many messages pass one that is never confirmed: it costs them neither memory nor time.
func TestLaneWithOneThatStays(t *testing.T) {
	t.Parallel()
	l := newLane(defaultCredit)
	l.begin(&Confirmation{})
	settled := 0
	for range 200_000 {
		for range 4 {
			l.begin(&Confirmation{})
		}
		l.settled(l.sent-2, false, func(*Confirmation) { settled++ })
		l.settled(l.sent-3, false, func(*Confirmation) { settled++ })
		l.settled(l.sent-1, false, func(*Confirmation) { settled++ })
		l.settled(l.sent, false, func(*Confirmation) { settled++ })
		if len(l.open) != 1 {
			t.Fatalf("%d are open", len(l.open))
		}
	}
	l.settled(l.sent, true, func(*Confirmation) { settled++ })
	if settled != 800_001 || len(l.open) != 0 {
		t.Errorf("%d are settled, %d open", settled, len(l.open))
	}
}

// A queue behaves as a list, and forgets what was taken out.
func TestQueue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var q queue
		var want []*Confirmation
		for range rapid.IntRange(1, 300).Draw(r, "steps") {
			switch rapid.IntRange(0, 9).Draw(r, "step") {
			case 0:
				if len(want) > 0 {
					c := want[rapid.IntRange(0, len(want)-1).Draw(r, "which")]
					q.remove(c)
					want = slices.DeleteFunc(want, func(other *Confirmation) bool { return other == c })
				}
				q.remove(&Confirmation{}) // is not in it
			case 1:
				list := []*Confirmation{{}, {}}
				q.before(slices.Clone(list))
				want = append(list, want...)
			case 2, 3, 4:
				if len(want) > 0 {
					if first := q.first(); first != want[0] || q.pop() != first {
						r.Fatal("another one comes first")
					}
					want = want[1:]
				}
			default:
				c := &Confirmation{}
				q.push(c)
				want = append(want, c)
			}
			if !slices.Equal(q.all(), want) || q.len() != len(want) {
				r.Fatalf("%d are in it, want %d", q.len(), len(want))
			}
			for _, c := range q.list[:q.head] {
				if c != nil {
					r.Fatal("one that was taken is kept")
				}
			}
		}
	})
}

// Suspects, and targets, are no more than there may be, whatever is sent where.
func TestSuspectsAreFew(t *testing.T) {
	t.Parallel()
	l := newLedger(10, 1000)
	for i := range 3 * mostSuspects {
		l.suspect(targetName{exchange: string(rune(i))})
	}
	if n := len(l.suspects); n != mostSuspects {
		t.Errorf("%d suspects", n)
	}
}
