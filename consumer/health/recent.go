package health

import (
	"slices"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// recently is for how long what has happened to a message is shown as a trouble.
const recently = 10 * time.Minute

// fates are what the events have told of each queue's: of the process that runs, and by the queue's name in the
// configuration.
type fates map[string]*told

// told is what is known of one queue.
type told struct {
	stats consumer.Stats // so far
	// marks are what it was at the end of each of the last minutes, the oldest first. The first one is older than
	// recently, if any is.
	marks []markOf
	// poison is why a message was last parked or rejected.
	poison   string
	poisoned time.Time
}

type markOf struct {
	at    time.Time
	stats consumer.Stats
}

// earlier is what had become of a queue's messages until a while ago, and why one was poison since then.
type earlier struct {
	stats  consumer.Stats
	poison string
}

func (f fates) apply(e fsm.Event) {
	switch {
	case e.Kind == fsm.KindBoot: // Stats begin anew
		clear(f)
	case e.Kind != fsm.KindNote:
	case e.Name == consumer.NoteOutcomes:
		why := consumer.EvidenceOf(e)
		f.of(why.Queue).count(e.Time, why.Outcomes())
	case e.Name == consumer.NoteParked, e.Name == consumer.NoteDeadLettered:
		if why := consumer.EvidenceOf(e); why.Error != "" {
			t := f.of(why.Queue)
			t.poison, t.poisoned = why.Error, e.Time
		}
	}
}

func (f fates) of(queue string) *told {
	if f[queue] == nil {
		f[queue] = &told{}
	}
	return f[queue]
}

// count adds what was told at a time. Of several in one minute, as of a connection that is lost often, the last one is a
// mark.
func (t *told) count(at time.Time, s consumer.Stats) {
	t.stats.Add(s)
	if n := len(t.marks); n > 0 && at.Truncate(time.Minute).Equal(t.marks[n-1].at.Truncate(time.Minute)) {
		t.marks = t.marks[:n-1]
	}
	t.marks = append(t.marks, markOf{at, t.stats})
	if i := t.before(at); i > 0 {
		t.marks = slices.Delete(t.marks, 0, i)
	}
}

// before is the last mark that is no longer recent, or -1.
func (t *told) before(now time.Time) int {
	i := len(t.marks) - 1
	for i >= 0 && now.Sub(t.marks[i].at) < recently {
		i--
	}
	return i
}

// earlier is what to take from Stats, by queue, so that what is recent is left. What no event tells of yet is recent.
func (f fates) earlier(now time.Time) map[string]earlier {
	all := make(map[string]earlier, len(f))
	for queue, t := range f {
		var e earlier
		if i := t.before(now); i >= 0 {
			e.stats = t.marks[i].stats
		}
		if now.Sub(t.poisoned) < recently {
			e.poison = t.poison
		}
		all[queue] = e
	}
	return all
}
