package fsm_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/fsm"
)

func TestFeedShowsEveryEventInOrder(t *testing.T) {
	log := &book{}
	m := newMachine(t, doorTable(t), fsm.Options{Journal: log})
	fire(t, m, "Knock") // before the feed
	feed := m.Feed(0)
	fire(t, m, "Knock", "Open")
	_, _ = m.Fire("Knock", fsm.Evidence{})
	_, _ = m.Record(fsm.KindNote, "remark", fsm.Evidence{})
	m.Close()
	if diff := cmp.Diff(log.events[1:], slices.Collect(feed.All(t.Context())), byValue); diff != "" {
		t.Errorf("the feed (-committed +read):\n%s", diff)
	}
}

func TestFeedPutsAGapInPlaceOfTheOldest(t *testing.T) {
	m := newMachine(t, doorTable(t), fsm.Options{Name: "front", Run: "r1"})
	feed := m.Feed(2)
	next := func() fsm.Event {
		e, ok := feed.Next(t.Context())
		if !ok {
			t.Fatal("the feed ended")
		}
		return e
	}
	fire(t, m, "Knock")
	if e := next(); e.Seq != 1 {
		t.Errorf("read %+v", e)
	}
	fire(t, m, "Knock", "Knock", "Open", "Close", "Knock") // 2 to 6; the feed holds 5 and 6

	gap := next()
	if gap.V != fsm.Schema || gap.Kind != fsm.KindGap || gap.Seq != 2 || gap.Run != "r1" || gap.Machine != "front" ||
		gap.From != "Open" || gap.To != "Open" || gap.Note != "3 events not seen" || gap.Time.IsZero() {
		t.Errorf("gap %+v", gap)
	}
	if e := next(); e.Seq != 5 {
		t.Errorf("behind the gap: %+v", e)
	}
	fire(t, m, "Knock", "Knock") // 7 and 8; drops 6
	if gap := next(); gap.Kind != fsm.KindGap || gap.Seq != 6 || gap.To != "Closed" {
		t.Errorf("second gap: %+v", gap)
	}
	if a, b := next(), next(); a.Seq != 7 || b.Seq != 8 {
		t.Errorf("then %d, %d", a.Seq, b.Seq)
	}
}

func TestFeedEnds(t *testing.T) {
	tests := map[string]struct {
		end  func(*fsm.Machine, *fsm.Feed)
		want int // events still read
	}{
		"machine closed":             {func(m *fsm.Machine, _ *fsm.Feed) { m.Close(); m.Close() }, 1},
		"feed closed":                {func(_ *fsm.Machine, f *fsm.Feed) { f.Close(); f.Close() }, 0},
		"machine closed, then feed":  {func(m *fsm.Machine, f *fsm.Feed) { m.Close(); f.Close() }, 0},
		"feed closed, machine fires": {func(m *fsm.Machine, f *fsm.Feed) { f.Close(); _, _ = m.Fire("Knock", fsm.Evidence{}) }, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, doorTable(t), fsm.Options{})
			feed := m.Feed(4)
			fire(t, m, "Open", "Close", "Knock", "Knock")
			for range 3 {
				feed.Next(t.Context())
			}
			tt.end(m, feed)
			if got := len(slices.Collect(feed.All(t.Context()))); got != tt.want {
				t.Errorf("read %d more, want %d", got, tt.want)
			}
		})
	}
}

func TestFeedOfAClosedMachineHasEnded(t *testing.T) {
	m := newMachine(t, doorTable(t), fsm.Options{})
	m.Close()
	if e, ok := m.Feed(1).Next(t.Context()); ok {
		t.Errorf("read %+v", e)
	}
}

func TestFeedLoopLeftEarly(t *testing.T) {
	m := newMachine(t, doorTable(t), fsm.Options{})
	feed := m.Feed(0)
	fire(t, m, "Knock", "Knock")
	for range feed.All(t.Context()) {
		break
	}
	if e, ok := feed.Next(t.Context()); !ok || e.Seq != 2 {
		t.Errorf("read %+v, %v", e, ok)
	}
}

// What ends a reader that waits; in a bubble, so that it is known to wait.
func TestFeedReaderThatWaits(t *testing.T) {
	for name, wake := range map[string]func(*fsm.Machine, *fsm.Feed, context.CancelFunc){
		"event":          func(m *fsm.Machine, _ *fsm.Feed, _ context.CancelFunc) { fire(t, m, "Knock") },
		"machine closed": func(m *fsm.Machine, _ *fsm.Feed, _ context.CancelFunc) { m.Close() },
		"feed closed":    func(_ *fsm.Machine, f *fsm.Feed, _ context.CancelFunc) { f.Close() },
		"context ended":  func(_ *fsm.Machine, _ *fsm.Feed, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t, doorTable(t), fsm.Options{})
				feed := m.Feed(0)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var reader sync.WaitGroup
				reader.Go(func() {
					if e, ok := feed.Next(ctx); ok != (name == "event") {
						t.Errorf("read %+v, %v", e, ok)
					}
				})
				synctest.Wait()
				wake(m, feed, cancel)
				reader.Wait()
			})
		})
	}
}

func TestFeedReadsWhileFiring(t *testing.T) {
	m := newMachine(t, doorTable(t), fsm.Options{})
	slow, fast := m.Feed(4), m.Feed(10000)
	var readers sync.WaitGroup
	for _, feed := range []*fsm.Feed{slow, fast} {
		readers.Go(func() {
			state, err := fsm.Replay(doorTable(t), feed.All(context.Background()))
			if err != nil || state != "Open" {
				t.Errorf("Replay = %q, %v", state, err)
			}
		})
	}
	for range 2000 {
		fire(t, m, "Open", "Close")
		m.Feed(1).Close()
	}
	fire(t, m, "Open")
	m.Close()
	readers.Wait()
}
