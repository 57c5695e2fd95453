package ack

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var raceDetector bool

// naive is a tracker without any thought for speed: a map, and the definitions of the picture.
type naive struct {
	states map[uint64]slotState // absent: not there
	next   uint64
}

func (n *naive) count(state slotState) (deliveries int) {
	for _, s := range n.states {
		if s == state {
			deliveries++
		}
	}
	return deliveries
}

// lowest is the first tag from one on whose state is another than these.
func (n *naive) lowest(from uint64, but ...slotState) uint64 {
	for slices.Contains(but, n.states[from]) {
		from++
	}
	return from
}

func (n *naive) base() uint64 { return n.lowest(1, settled) }
func (n *naive) run() uint64  { return n.lowest(1, settled, finished) }

// in lists, in order, the tags of a state from one on and below another.
func (n *naive) in(state slotState, from, below uint64) (tags []uint64) {
	for tag := from; tag < below; tag++ {
		if n.states[tag] == state {
			tags = append(tags, tag)
		}
	}
	return tags
}

func (n *naive) oldest() (i Item, ok bool) {
	for tag := uint64(1); tag < n.next; tag++ {
		if s := n.states[tag]; s == received || s == finished {
			return itemOf(tag), true
		}
	}
	return Item{}, false
}

// itemOf is what a tracker is given for a tag. Its offset is another number.
func itemOf(tag uint64) Item {
	return Item{Tag: tag, Offset: int64(tag) + 100, MessageID: fmt.Sprint(tag)}
}

// pair is a tracker and its model, which get the same calls.
type pair struct {
	tracker
	naive
	history []string
	found   []string // differences
}

func newPair() *pair {
	return &pair{
		tracker: newTracker(),
		naive:   naive{states: map[uint64]slotState{}, next: 1},
	}
}

func (p *pair) did(what string, tag uint64) {
	p.history = append(p.history, fmt.Sprint(what, " ", tag))
}

func (p *pair) receive(tag uint64) {
	p.did("receive", tag)
	p.tracker.receive(itemOf(tag))
	p.states[tag] = received
	p.naive.next = max(p.naive.next, tag+1)
}

func (p *pair) finish(tag uint64) {
	p.did("finish", tag)
	p.tracker.finish(tag)
	p.states[tag] = finished
}

func (p *pair) settle(tag uint64) {
	p.did("settle", tag)
	if item := p.tracker.settle(tag); item != itemOf(tag) {
		p.found = append(p.found, fmt.Sprintf("settle is %+v", item))
	}
	p.states[tag] = settled
}

func (p *pair) settleUpTo(tag uint64) {
	p.did("settleUpTo", tag)
	p.tracker.settleUpTo(tag)
	for _, done := range p.in(finished, 1, tag+1) {
		p.states[done] = settled
	}
}

func (p *pair) abandon() []Item {
	p.did("abandon", p.naive.next-1)
	dropped := p.tracker.abandon()
	for _, done := range p.in(finished, 1, p.naive.next) {
		p.states[done] = settled
	}
	return dropped
}

func tagsOf(items []Item) (tags []uint64) {
	for _, i := range items {
		tags = append(tags, i.Tag)
	}
	return tags
}

// differences between the tracker and its model.
func (p *pair) differences() []string {
	found := p.found
	differ := func(what string, got, want any) {
		if got != want {
			found = append(found, fmt.Sprintf("%s is %v, want %v", what, got, want))
		}
	}
	n, t := &p.naive, &p.tracker
	base, run := n.base(), n.run()
	differ("base", t.base, base)
	differ("run", t.run, run)
	differ("next", t.next, n.next)
	differ("finished", t.finished, n.count(finished))
	differ("held", t.held, n.count(received))
	oldest, ok := t.oldest()
	wantOldest, wantOK := n.oldest()
	differ("oldest", oldest, wantOldest)
	differ("whether there is an oldest", ok, wantOK)
	if run > 1 {
		differ("last", t.last, itemOf(run-1).Offset)
	}

	inRun := n.in(finished, base, run)
	tag, deliveries := t.upTo()
	differ("upTo's number", deliveries, len(inRun))
	differ("ready", t.ready, len(inRun))
	if len(inRun) > 0 {
		differ("upTo", tag, inRun[len(inRun)-1])
	}
	for _, from := range []uint64{base, run} {
		got, want := tagsOf(t.finishedFrom(from, nil)), n.in(finished, from, n.next)
		if !slices.Equal(got, want) {
			found = append(found, fmt.Sprintf("finishedFrom(%d) is %v, want %v", from, got, want))
		}
	}
	return found
}

// drawStep does something that an acknowledger could do next.
func (p *pair) drawStep(t *rapid.T) {
	held := p.in(received, p.naive.base(), p.naive.next)
	done := p.in(finished, p.naive.base(), p.naive.next)
	pick := func(tags []uint64) uint64 { return rapid.SampledFrom(tags).Draw(t, "tag") }
	switch step := rapid.IntRange(0, 15).Draw(t, "step"); {
	case step < 6 || len(held)+len(done) == 0:
		p.receive(pick(p.missing(4)))
	case step < 10 && len(held) > 0:
		p.finish(pick(held))
	case step < 12 && len(held) > 0: // rejected, given back or published again
		p.settle(pick(held))
	case step < 13 && len(done) > 0: // a stray was acknowledged
		p.settle(pick(done))
	case step < 15:
		if tag, deliveries := p.upTo(); deliveries > 0 {
			p.settleUpTo(tag)
		}
	default:
		want := p.in(finished, p.naive.base(), p.naive.next)
		if got := tagsOf(p.abandon()); !slices.Equal(got, want) {
			t.Fatalf("%v\nabandon is %v, want %v", p.history, got, want)
		}
	}
}

// missing are the lowest tags that were not received.
func (n *naive) missing(workers int) (tags []uint64) {
	for tag := n.lowest(1, settled, finished, received); len(tags) < workers; tag++ {
		if n.states[tag] == absent {
			tags = append(tags, tag)
		}
	}
	return tags
}

func TestTrackerAgainstModel(t *testing.T) {
	t.Parallel()
	histories := 800                     // times what -rapid.checks says, which is 100
	if testing.Short() || raceDetector { // which has nothing to find here, and takes its time
		histories /= 10
	}
	for range histories {
		rapid.Check(t, func(t *rapid.T) {
			p := newPair()
			for range rapid.IntRange(0, 6).Draw(t, "at first") * 4 { // beyond 16 the ring grows
				p.receive(p.missing(1)[0])
			}
			for range rapid.IntRange(1, 30).Draw(t, "steps") {
				p.drawStep(t)
				if found := p.differences(); found != nil {
					t.Fatalf("%v\n%v", p.history, found)
				}
			}
		})
	}
}

// The pictures: . absent, ? with its handler, F finished, - settled; from tag 1 on.
func TestTrackerPictures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		picture    string
		base, run  uint64
		upTo       uint64
		deliveries int
		strays     []uint64
	}{
		{picture: "", base: 1, run: 1},
		{picture: "?", base: 1, run: 1},
		{picture: "F", base: 1, run: 2, upTo: 1, deliveries: 1},
		{picture: "-", base: 2, run: 2},
		{picture: "---FFF?F?F", base: 4, run: 7, upTo: 6, deliveries: 3, strays: []uint64{8, 10}}, // that of tracker
		{picture: "?FF", base: 1, run: 1, strays: []uint64{2, 3}},
		{picture: "F-?", base: 1, run: 3, upTo: 1, deliveries: 1}, // 2 is settled: the broker does not wait for it
		{picture: "F-F", base: 1, run: 4, upTo: 3, deliveries: 2}, // and is passed over
		{picture: "F.F", base: 1, run: 2, upTo: 1, deliveries: 1, strays: []uint64{3}},
		{picture: "-.-", base: 2, run: 2},
		{picture: "--------------------F?F", base: 21, run: 22, upTo: 21, deliveries: 1, strays: []uint64{23}},
	} {
		tracker := trackerOf(c.picture)
		tag, deliveries := tracker.upTo()
		strays := tagsOf(tracker.finishedFrom(tracker.run, nil))
		if tracker.base != c.base || tracker.run != c.run ||
			tag != c.upTo || deliveries != c.deliveries || !slices.Equal(strays, c.strays) {
			t.Errorf("%q: base %d, run %d, up to %d, which are %d, strays %v; want %+v",
				c.picture, tracker.base, tracker.run, tag, deliveries, strays, c)
		}
	}
}

func trackerOf(picture string) tracker {
	t := newTracker()
	for i, state := range picture {
		if state != '.' {
			t.receive(itemOf(uint64(i + 1)))
		}
	}
	for i, state := range picture {
		switch state {
		case 'F':
			t.finish(uint64(i + 1))
		case '-':
			t.settle(uint64(i + 1))
		}
	}
	return t
}

// Once the ring is as long as what is outstanding at once, a message costs no memory.
func TestTrackerAllocatesNothing(t *testing.T) {
	const outstanding = 40
	tracker := newTracker()
	tag := uint64(0)
	strays := make([]Item, 0, outstanding)
	turn := func() {
		first := tag + 1
		for range outstanding {
			tag++
			tracker.receive(Item{Tag: tag})
		}
		tracker.settle(first + 1)
		for later := tag; later > first+1; later-- {
			tracker.finish(later)
		}
		strays = tracker.finishedFrom(tracker.run, strays[:0])
		tracker.settle(strays[0].Tag)
		tracker.finish(first)
		up, _ := tracker.upTo()
		tracker.settleUpTo(up)
	}
	turn()
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("%v allocations for %d messages", n, outstanding)
	}
	if tracker.base != tag+1 || tracker.held != 0 || tracker.finished != 0 {
		t.Errorf("after %d: %+v", tag, tracker)
	}
}
