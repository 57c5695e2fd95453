package publish_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestHistories plays random histories in synthetic time: many senders, a broker with all kinds of trouble, and messages
// that it does not like. What became of each message is held against what the queues hold in the end, and against what
// was written on each connection. rapid prints the seed of one that fails, and its shortest form.
func TestHistories(t *testing.T) {
	t.Parallel()
	for name, traits := range map[string]traits{
		"calm":            {},
		"cuts":            {cuts: true},
		"bad messages":    {bad: true},
		"everything":      {cuts: true, bad: true, channels: true, moves: true},
		"slow queues":     {bad: true, slow: true},
		"stopped amid it": {cuts: true, bad: true, slow: true, stops: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			times := 6
			if testing.Short() || raceDetector {
				times = 1
			}
			for range times {
				rapid.Check(t, func(r *rapid.T) {
					p := drawPlan(r, traits)
					rapid.SyncTest(r, func(r *rapid.T) {
						if h := playHistory(p); len(h.wrong) > 0 {
							r.Fatalf("%s\n%s", h.wrong[0], h.story())
						}
					})
				})
			}
		})
	}
}

// traits are what may happen in a history.
type traits struct {
	cuts     bool // connections are lost
	channels bool // channels end without a message's fault
	bad      bool // messages are refused
	slow     bool // queues withhold confirms
	moves    bool // queues and exchanges are deleted, and made again
	stops    bool // the publisher, amid everything
}

// plan is a history before it is played: all that is random about it is drawn.
type plan struct {
	traits
	window      int
	credit      uint64
	windowBytes int64
	version     string
	senders     [][]sending
	faults      []fault
	stop        time.Duration // 0: when everything is settled
	hard        bool
}

// sending is one call.
type sending struct {
	to       target
	is       kind
	async    bool          // Send; else Publish
	patience time.Duration // of the caller; 0: endless
	pause    time.Duration // before it
	body     int           // bytes behind the name
}

type target struct{ exchange, key string }

// The targets. Each good one has a queue of its own, so that the order in it is that of the target.
var (
	healthy = []target{{"", "q0"}, {"", "q1"}, {"ex", "a"}, {"ex", "b"}}
	full    = target{"", "full"} // takes two messages
	nowhere = []target{{"", "nowhere"}, {"ex", "unbound"}}
	missing = target{"missing", "a"}
)

// queue is where a target's messages are.
func (t target) queue() string {
	if t.exchange == "ex" {
		return "ex-" + t.key
	}
	return t.key
}

// kind is what there is to a message.
type kind string

const (
	good       kind = "good"
	noID       kind = "good, without an id"
	sameID     kind = "good, with an id that others have"
	headers    kind = "good, with headers"
	tooLarge   kind = "too large"
	wrongUser  kind = "of another user"
	noNumber   kind = "with a bad expiration"
	bigHeaders kind = "with headers that fit into no frame"
	notUTF8    kind = "with a key that is not UTF-8"
)

func (k kind) isGood() bool { return k == good || k == noID || k == sameID || k == headers }

// fault is what happens, and ends a while later if it is of that kind.
type fault struct {
	at, lasts time.Duration
	what      string
	queue     string
	n         int
}

const largest = 1000 // bytes of a body

var (
	drawPause = drawTime(0, 0, 0, 0, 1, 20, 300, 3000)
	drawAt    = drawTime(0, 0, 1, 5, 50, 400, 3000, 8000)
	drawLasts = drawTime(1, 100, 1500, 6000, 40_000)
	drawLess  = drawTime(1, 10, 500, 3000, 20_000)

	drawGood   = rapid.SampledFrom([]kind{good, good, good, good, noID, sameID, headers})
	drawBad    = rapid.SampledFrom([]kind{tooLarge, tooLarge, wrongUser, noNumber, notUTF8})
	drawTarget = rapid.SampledFrom(healthy)
	drawWhere  = rapid.SampledFrom([]target{nowhere[0], nowhere[1], missing, missing, full})

	cuts     = []string{"reset", "hang up", "reset at method", "reset after bytes", "freeze", "freeze to client", "refuse", "stop app", "close", "alarm", "alarm"}
	channels = []string{"close channel", "close channel"}
	slow     = []string{"suspend", "withhold", "withhold", "alarm", "delay"}
	moves    = []string{"delete queue", "delete exchange"}
)

// drawTime draws one of a few, so that much happens at the same moment.
func drawTime(millis ...time.Duration) *rapid.Generator[time.Duration] {
	return rapid.Map(rapid.SampledFrom(millis), func(n time.Duration) time.Duration { return n * time.Millisecond })
}

func drawPlan(t *rapid.T, traits traits) plan {
	p := plan{
		traits:      traits,
		window:      rapid.SampledFrom([]int{1, 2, 3, 8, 32}).Draw(t, "window"),
		credit:      rapid.SampledFrom([]uint64{1, 2, 5, 200}).Draw(t, "credit"),
		windowBytes: rapid.SampledFrom([]int64{1, 1000, 3000, 1 << 20, 1 << 20}).Draw(t, "window bytes"),
		version:     rapid.SampledFrom([]string{"3.10", "4.3"}).Draw(t, "version"),
	}
	for range rapid.IntRange(1, 4).Draw(t, "senders") {
		var list []sending
		for range rapid.IntRange(1, 16).Draw(t, "messages") {
			list = append(list, p.drawSending(t))
		}
		p.senders = append(p.senders, list)
	}
	var whats []string
	for _, may := range []struct {
		it   bool
		list []string
	}{{p.cuts, cuts}, {p.channels, channels}, {p.slow, slow}, {p.moves, moves}} {
		if may.it {
			whats = append(whats, may.list...)
		}
	}
	if whats != nil {
		for range rapid.IntRange(0, 5).Draw(t, "faults") {
			p.faults = append(p.faults, fault{
				at: drawAt.Draw(t, "at"), lasts: drawLasts.Draw(t, "lasts"), what: rapid.SampledFrom(whats).Draw(t, "what"),
				queue: drawTarget.Draw(t, "queue").queue(), n: rapid.IntRange(1, 24).Draw(t, "n"),
			})
		}
	}
	if p.stops {
		p.stop = time.Millisecond + drawAt.Draw(t, "stop")
		p.hard = rapid.Bool().Draw(t, "hard")
	}
	return p
}

func (p *plan) drawSending(t *rapid.T) sending {
	s := sending{
		to: drawTarget.Draw(t, "target"), is: drawGood.Draw(t, "kind"), async: rapid.IntRange(0, 2).Draw(t, "async") > 0,
		pause: drawPause.Draw(t, "pause"), body: rapid.SampledFrom([]int{0, 10, 10, 300}).Draw(t, "body"),
	}
	if rapid.IntRange(0, 3).Draw(t, "impatient") == 3 {
		s.patience = drawLess.Draw(t, "patience")
	}
	if !p.bad {
		return s
	}
	switch rapid.IntRange(0, 7).Draw(t, "bad") {
	case 5:
		s.to = drawWhere.Draw(t, "where")
	case 6:
		s.is = drawBad.Draw(t, "bad kind")
	case 7:
		if rapid.IntRange(0, 7).Draw(t, "big") == 7 { // they take long to write
			s.is = bigHeaders
		}
	}
	return s
}

func (s sending) String() string {
	how := "Publish"
	if s.async {
		how = "Send"
	}
	return fmt.Sprintf("+%v %s to %q %q, %s, patience %v", s.pause, how, s.to.exchange, s.to.key, s.is, s.patience)
}
