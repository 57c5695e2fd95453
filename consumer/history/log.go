package history

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// ParseLog finds an event in a line of a log: one of the JSON lines that a consumer or a publisher logs, or of a
// journal.
// It returns false for a line of anything else.
//
// In front of the JSON there may be what docker, kubectl and others put there. If the JSON has no time, one
// in RFC 3339 is taken from there; without any there is no event. The JSON may also be the text of "log" in a
// JSON object, as docker's json-file driver writes it.
//
// The time may be in RFC 3339 or a number: seconds, milliseconds, microseconds or nanoseconds since 1970,
// as its size tells.
func ParseLog(line []byte) (fsm.Event, bool) {
	p := parsers.Get().(*parser)
	defer parsers.Put(p)
	return p.parse(bytes.TrimRight(line, "\r\n"), 1)
}

// parsers are kept from line to line for what they have seen before.
var parsers = sync.Pool{New: func() any { return &parser{journal.Decoder{Time: readStamp}} }}

// parser reads lines as a journal's decoder does, and what that does not take in a slow way.
type parser struct{ decoder journal.Decoder }

// mostBraces bounds how many places in a line are tried.
const mostBraces = 8

func (p *parser) parse(line []byte, nested int) (fsm.Event, bool) {
	if !bytes.Contains(line, []byte("kind")) || !bytes.Contains(line, []byte("seq")) {
		return fsm.Event{}, false
	}
	start := 0
	for range mostBraces {
		brace := bytes.IndexByte(line[start:], '{')
		if brace < 0 {
			break
		}
		start += brace
		if e, ok := p.object(line[start:], nested); ok {
			if e.Time.IsZero() {
				e.Time = stampIn(string(line[:start]))
			}
			if e.Time.IsZero() {
				return fsm.Event{}, false
			}
			return e, true
		}
		start++
	}
	return fsm.Event{}, false
}

func (p *parser) object(text []byte, nested int) (fsm.Event, bool) {
	e, ok := p.decoder.Decode(text)
	if !ok || e.Kind == "" {
		return p.unusual(text, nested)
	}
	return event(e)
}

// unusual reads any JSON object, such as one with a log in it.
func (p *parser) unusual(text []byte, nested int) (fsm.Event, bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return fsm.Event{}, false
	}
	var at stamp
	if raw, ok := members[fsm.FieldTime]; ok && json.Unmarshal(raw, &at) != nil {
		return fsm.Event{}, false
	}
	var log string
	if raw, ok := members["log"]; ok && members[fsm.FieldKind] == nil && nested > 0 && json.Unmarshal(raw, &log) == nil {
		e, ok := p.parse([]byte(log), nested-1)
		if !ok && at != (stamp{}) { // that of the wrapping object
			e, ok = p.parse([]byte(time.Time(at).Format(time.RFC3339Nano)+" "+log), nested-1)
		}
		return e, ok
	}
	delete(members, fsm.FieldTime)
	text, _ = json.Marshal(members) // they came out of JSON
	var e fsm.Event
	if json.Unmarshal(text, &e) != nil {
		return fsm.Event{}, false
	}
	e.Time = time.Time(at)
	return event(e)
}

// event returns what an object says, if it is an event, without what the logger has added.
func event(e fsm.Event) (fsm.Event, bool) {
	e.Time = e.Time.UTC()
	of := learned{lifecycleOf(&e)}
	e.Evidence = of.lifecycle().kept(e)
	return e, e.Kind != "" && e.Seq > 0 && e.Run != "" && e.From != "" && e.To != ""
}

// stamp is a time in any of the forms that zerolog writes.
type stamp time.Time

func (s *stamp) UnmarshalJSON(text []byte) error {
	var t time.Time
	if len(text) > 0 && text[0] != '"' {
		var number json.Number
		if err := json.Unmarshal(text, &number); err != nil {
			return err
		}
		t = fromUnix(number)
	} else if err := json.Unmarshal(text, &t); err != nil {
		return err
	}
	*s = stamp(t.UTC())
	return nil
}

func readStamp(value []byte) (time.Time, bool) {
	var s stamp
	err := s.UnmarshalJSON(value)
	return time.Time(s), err == nil
}

// fromUnix returns the zero time for what is no time between 1970 and the year 5138.
func fromUnix(number json.Number) time.Time {
	const most = 1e11 // seconds
	if n, err := number.Int64(); err == nil && n > 0 {
		for unit := int64(time.Second); unit > 0; unit /= 1000 {
			if scale := int64(time.Second) / unit; float64(n) < most*float64(scale) {
				return time.Unix(n/scale, n%scale*unit)
			}
		}
	}
	if f, err := number.Float64(); err == nil && f > 0 && f < most {
		whole, fraction := math.Modf(f)
		return time.Unix(int64(whole), int64(math.Round(fraction*1e9)))
	}
	return time.Time{}
}

// stampIn finds a time in RFC 3339 in what is in front of the JSON.
func stampIn(prefix string) time.Time {
	for _, word := range strings.Fields(prefix) {
		if t, err := time.Parse(time.RFC3339Nano, strings.Trim(word, "[]|")); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
