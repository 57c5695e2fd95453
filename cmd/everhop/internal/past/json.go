package past

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// jsonEntry is an entry of the timeline: one object, in which the members of the first event follow the
// word that says what it is.
type jsonEntry struct {
	entry history.Fold // event, idle, attempts, flaps or minutes; or message, of a list
	event fsm.Event
	more  struct {
		LastedMS *int64 `json:"lasted_ms,omitempty"` // of from; not if it is not known

		// Of all but events.
		Count  int        `json:"count,omitempty"`
		SpanMS *int64     `json:"span_ms,omitempty"`
		Last   *fsm.Event `json:"last,omitempty"`
		// Of minutes.
		Outcomes *jsonQueue `json:"outcomes,omitempty"`
	}
}

func newJSONEntry(e history.Entry) jsonEntry {
	j := jsonEntry{entry: e.Fold, event: e.First}
	if e.Lasted != history.Unknown {
		j.more.LastedMS = inMS(e.Lasted)
	}
	if e.Fold != history.Single {
		j.event.Count = 0 // of a ring's cycle
		j.more.Count, j.more.SpanMS, j.more.Last = e.Count, inMS(e.Span), &e.Last
	}
	if e.Fold == history.Minutes {
		o := newJSONQueue(e.Outcomes)
		j.more.Outcomes = &o
	}
	return j
}

// MarshalJSON puts the three parts into one object.
func (j jsonEntry) MarshalJSON() ([]byte, error) {
	var members [][]byte
	for _, part := range []any{map[string]history.Fold{"entry": j.entry}, j.event, j.more} {
		object, err := jsonLine(part)
		if err != nil {
			return nil, err
		}
		object = bytes.TrimSuffix(bytes.TrimPrefix(object, []byte("{")), []byte("}\n"))
		if len(object) > 0 {
			members = append(members, object)
		}
	}
	return slices.Concat([]byte("{"), bytes.Join(members, []byte(",")), []byte("}")), nil
}

// jsonSummary is the last object.
type jsonSummary struct {
	Entry         string              `json:"entry"` // summary
	Machine       string              `json:"machine,omitempty"`
	First         time.Time           `json:"first"`
	Last          time.Time           `json:"last"`
	LastState     fsm.State           `json:"last_state"`
	LastSince     *time.Time          `json:"last_since"` // null if that is before the log begins
	Events        uint64              `json:"events"`
	Runs          int                 `json:"runs"`
	Aborted       int                 `json:"aborted"`
	Availability  *float64            `json:"availability"` // from 0 to 1; null if it was never meant to be up
	UpMS          int64               `json:"up_ms"`
	DownMS        int64               `json:"down_ms"`
	StoppedMS     int64               `json:"stopped_ms"`
	UnknownMS     int64               `json:"unknown_ms"`
	UnrecordedMS  int64               `json:"unrecorded_ms"`
	InStateMS     map[fsm.State]int64 `json:"in_state_ms"`
	BetweenMS     int64               `json:"between_ms"` // this and the next two are in no state
	UnseenMS      int64               `json:"unseen_ms"`
	SuspendedMS   int64               `json:"suspended_ms"`
	Outages       int                 `json:"outages"`
	Revivals      map[string]int      `json:"revivals"`
	Recoveries    int                 `json:"recoveries"`
	RecoverP50MS  int64               `json:"recover_p50_ms"`
	RecoverP95MS  int64               `json:"recover_p95_ms"`
	RecoverMaxMS  int64               `json:"recover_max_ms"`
	LongestOutage *jsonOutage         `json:"longest_outage"`
	Stalls        int                 `json:"stalls"`
	StalledMS     int64               `json:"stalled_ms"`
	Attempts      int                 `json:"attempts"`
	MostAttempts  int                 `json:"most_attempts"`
	Rejected      uint64              `json:"rejected"`
	Stale         uint64              `json:"stale"`
	Gaps          uint64              `json:"gaps"`
	Missing       uint64              `json:"missing"`
	Repeated      uint64              `json:"repeated"`
	Overlaps      int                 `json:"overlaps"`
	Queues        []jsonQueue         `json:"queues,omitempty"`
}

type jsonOutage struct {
	Begin        time.Time   `json:"begin"`
	End          *time.Time  `json:"end"` // null while it lasts
	DurationMS   int64       `json:"duration_ms"`
	UnrecordedMS int64       `json:"unrecorded_ms"`
	Cut          bool        `json:"cut"`
	Trigger      fsm.Trigger `json:"trigger"`
	Ending       fsm.Trigger `json:"ending"`
	Class        string      `json:"class"`
	Code         int         `json:"code"`
	Error        string      `json:"error"`
	Endpoint     string      `json:"endpoint"`
	Queue        string      `json:"queue"`
	Attempts     int         `json:"attempts"`
}

func newJSONSummary(machine string, r history.Report, end ending) jsonSummary {
	j := jsonSummary{
		Entry: "summary", Machine: machine, First: r.First, Last: r.Last.UTC(), Events: r.Events, Runs: r.Runs, Aborted: r.Aborted,
		UpMS: r.Up.Milliseconds(), DownMS: r.Down.Milliseconds(), StoppedMS: r.Stopped.Milliseconds(),
		UnknownMS: r.Unknown.Milliseconds(), UnrecordedMS: r.Unrecorded.Milliseconds(),
		InStateMS: make(map[fsm.State]int64), BetweenMS: r.Between.Milliseconds(), UnseenMS: r.Unseen.Milliseconds(), SuspendedMS: r.Suspended.Milliseconds(), Outages: r.Outages, Revivals: make(map[string]int), Recoveries: r.Recoveries,
		RecoverP50MS: r.RecoverP50.Milliseconds(), RecoverP95MS: r.RecoverP95.Milliseconds(), RecoverMaxMS: r.RecoverMax.Milliseconds(),
		Stalls: r.Stalls, StalledMS: r.Stalled.Milliseconds(), Attempts: r.Attempts, MostAttempts: r.MostAttempts,
		Rejected: r.Rejected, Stale: r.Stale, Gaps: r.Gaps, Missing: r.Missing, Repeated: r.Repeated, Overlaps: r.Overlaps,
	}
	for _, o := range r.Queues {
		j.Queues = append(j.Queues, newJSONQueue(o))
	}
	j.First = r.First.UTC()
	j.LastState = end.state
	if end.inLog {
		since := end.since.UTC()
		j.LastSince = &since
	}
	if share, ok := r.Availability(); ok {
		j.Availability = &share
	}
	for state, d := range r.InState {
		j.InStateMS[state] = d.Milliseconds()
	}
	for cause, n := range r.Revivals {
		j.Revivals[cause] = n
	}
	if r.Outages > 0 {
		j.LongestOutage = newJSONOutage(r.Longest)
	}
	return j
}

// jsonQueue is what became of the messages of a queue.
type jsonQueue struct {
	Queue             string    `json:"queue"`
	Begin             time.Time `json:"begin,omitzero"`
	Acknowledged      uint64    `json:"acknowledged"`
	Failed            uint64    `json:"failed"`
	Kept              uint64    `json:"kept"`
	Requeued          uint64    `json:"requeued"`
	Saved             uint64    `json:"saved"`
	Rejected          uint64    `json:"rejected"`
	Delayed           uint64    `json:"delayed"`
	Parked            uint64    `json:"parked"`
	Deduplicated      uint64    `json:"deduplicated"`
	ReturnedUnstarted uint64    `json:"returned_unstarted"`
	Stale             uint64    `json:"stale"`
	Permanent         uint64    `json:"permanent"` // this and the next two count messages that are told of one by one
	TimedOut          uint64    `json:"timed_out"`
	Panicked          uint64    `json:"panicked"`
	LeftOut           uint64    `json:"left_out"`
	Calls             uint64    `json:"calls"`
	HandlingUS        int64     `json:"handling_us"`
	LongestUS         int64     `json:"longest_us"`
	OldestMS          int64     `json:"oldest_ms"`
	Error             string    `json:"error,omitempty"`
}

func newJSONQueue(o history.Outcomes) jsonQueue {
	s := o.Stats
	return jsonQueue{
		Queue: o.Queue, Begin: o.Begin, Acknowledged: s.Acknowledged, Failed: s.Failed, Kept: s.Kept, Requeued: s.Requeued, Saved: s.Saved,
		Rejected: s.Rejected, Delayed: s.Delayed, Parked: s.Parked, Deduplicated: s.Deduplicated, ReturnedUnstarted: s.ReturnedUnstarted,
		Stale: s.Stale, Permanent: o.Permanent, TimedOut: o.TimedOut, Panicked: o.Panicked, LeftOut: o.LeftOut,
		Calls: o.Calls, HandlingUS: o.Handling.Microseconds(), LongestUS: o.Longest.Microseconds(), OldestMS: o.Oldest.Milliseconds(), Error: o.Error,
	}
}

// jsonListed is an outage of a list.
type jsonListed struct {
	Entry   string `json:"entry"` // outage
	Machine string `json:"machine,omitempty"`
	*jsonOutage
}

func newJSONOutage(o history.Outage) *jsonOutage {
	j := &jsonOutage{
		Begin: o.Begin.UTC(), DurationMS: o.Duration.Milliseconds(), UnrecordedMS: o.Unrecorded.Milliseconds(), Cut: o.Cut,
		Trigger: o.Cause.Trigger, Ending: o.Ending, Class: o.Cause.Class, Code: o.Cause.Code, Error: o.Cause.Error,
		Endpoint: o.Cause.Endpoint, Queue: o.Cause.Queue, Attempts: o.Attempts,
	}
	if !o.End.IsZero() {
		end := o.End.UTC()
		j.End = &end
	}
	return j
}

// jsonGlance is the answer to --at.
type jsonGlance struct {
	Entry   string     `json:"entry"` // at
	Machine string     `json:"machine,omitempty"`
	At      time.Time  `json:"at"`
	State   *fsm.State `json:"state"` // null before the log begins
	Ended   bool       `json:"ended"` // the run has, without Stop: state is the last one that is recorded
	Since   *time.Time `json:"since"` // null if that is before the log begins
	Led     *fsm.Event `json:"led"`
	// Consuming is a consumer's, Publishing a publisher's: since when. A pointer to nil is null, and nil is left out.
	Consuming  **time.Time `json:"consuming_since,omitempty"`
	Publishing **time.Time `json:"publishing_since,omitempty"`
	Outage     *jsonOutage `json:"outage"`
	Last       *fsm.Event  `json:"last"` // null if the log begins with a snapshot, and that was just before
	Next       *fsm.Event  `json:"next"`

	// LogEnded is when the log ended, if that was before At: State and the others are of then. Otherwise null.
	LogEnded *time.Time `json:"log_ended"`
}

func newJSONGlance(machine string, g glance) jsonGlance {
	j := jsonGlance{Entry: "at", Machine: machine, At: g.at.UTC()}
	if g.next != nil {
		j.Next = g.next
	}
	if !g.logEnded.IsZero() {
		ended := g.logEnded.UTC()
		j.LogEnded = &ended
	}
	m := g.moment
	var since *time.Time
	if g.of == history.Publisher() {
		j.Publishing = &since
	} else {
		j.Consuming = &since
	}
	if m.State == "" {
		return j
	}
	j.State, j.Ended = &m.State, m.Ended
	if g.last.Seq > 0 {
		j.Last = &g.last
	}
	if m.InLog {
		j.Since = &m.Since
	}
	if m.Led.Seq > 0 {
		j.Led = &m.Led
	}
	if !m.Up.IsZero() {
		since = &m.Up
	}
	if !m.Outage.Begin.IsZero() {
		j.Outage = newJSONOutage(m.Outage)
	}
	return j
}

func inMS(d time.Duration) *int64 {
	ms := d.Milliseconds()
	return &ms
}

// jsonLine is v as a line.
func jsonLine(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return b.Bytes(), err
}
