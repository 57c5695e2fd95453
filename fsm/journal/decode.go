package journal

import (
	"encoding/json"
	"math"
	"time"

	"github.com/everhop/everhop/fsm"
)

// Decoder reads events that are written as a journal does it, in a tenth of the time
// that encoding/json takes: it knows their members, and keeps the names and the
// details that come up again and again, so that it allocates next to nothing. It is
// for one goroutine at a time. The zero value is ready.
type Decoder struct {
	// Time reads a time that is not a string, of which it gets the JSON, or what may be
	// mistaken for that; false if there is none in it. Defaults to refusing all.
	Time func(value []byte) (time.Time, bool)

	names   map[string]string
	details map[string]fsm.Details
	members []byte // reused
}

// What a Decoder keeps at most, so that a hostile file costs little memory.
const (
	maxNames      = 1024
	maxNameLen    = 64
	maxDetails    = 256
	maxDetailsLen = 512
)

// Decode reads the object in line: a record of a journal, or an event that is none, as
// a log has them. It returns false if that is not of this [fsm.Schema], or not written
// as it would be here; encoding/json may still make an event of it. What Decode does
// read, encoding/json reads alike, but for the members that a record adds.
func (d *Decoder) Decode(line []byte) (fsm.Event, bool) {
	var e fsm.Event
	if !d.object(line, &e) || e.V != fsm.Schema {
		return fsm.Event{}, false
	}
	return e, true
}

// event reads the object in line, of any version and however it is written. Members
// that are not an event's own are its details; the names of those that are must be
// spelled exactly.
func (d *Decoder) event(line []byte) (fsm.Event, error) {
	if e, ok := d.Decode(line); ok {
		return e, nil
	}
	return decodeAny(line)
}

// object gives up, with false, on anything it has not seen before.
func (d *Decoder) object(line []byte, e *fsm.Event) bool {
	s := scan{text: line}
	d.members = append(d.members[:0], '{')
	if !s.eat('{') {
		return false
	}
	for {
		begin := s.at
		name, ok := s.plain()
		if !ok || !s.eat(':') {
			return false
		}
		isOwn, ok := d.own(&s, name, e)
		if !ok {
			return false
		}
		if !isOwn {
			d.members = append(append(d.members, line[begin:s.at]...), ',')
		}
		if !s.eat(',') {
			return s.eat('}') && s.at == len(s.text) && d.detail(e)
		}
	}
}

// own reads the value of a member, and tells whether it is an event's or a record's
// own. If not, it passes over the value.
func (d *Decoder) own(s *scan, name []byte, e *fsm.Event) (isOwn, ok bool) {
	switch string(name) {
	case fsm.FieldVersion:
		return true, s.int(&e.V)
	case fsm.FieldKind:
		return true, read(d, s, &e.Kind)
	case fsm.FieldName:
		return true, read(d, s, &e.Name)
	case fsm.FieldSeq:
		return true, s.uint64(&e.Seq)
	case fsm.FieldRun:
		return true, read(d, s, &e.Run)
	case fsm.FieldMachine:
		return true, read(d, s, &e.Machine)
	case fsm.FieldTime:
		return true, d.time(s, &e.Time)
	case fsm.FieldMonoNS:
		return true, s.int64(&e.MonoNS)
	case fsm.FieldFrom:
		return true, read(d, s, &e.From)
	case fsm.FieldTo:
		return true, read(d, s, &e.To)
	case fsm.FieldTrigger:
		return true, read(d, s, &e.Trigger)
	case fsm.FieldVia:
		return true, read(d, s, &e.Via)
	case fsm.FieldBack:
		return true, read(d, s, &e.Back)
	case fsm.FieldCount:
		return true, s.uint64(&e.Count)
	case fsm.FieldInStateMS:
		return true, s.int64(&e.InStateMS)
	case fsm.FieldTable:
		return true, read(d, s, &e.Table)
	case fsm.FieldError:
		return true, read(d, s, &e.Error)
	case fsm.FieldNote:
		return true, read(d, s, &e.Note)
	case fieldPrev, fieldCRC:
		_, ok := s.plain()
		return true, ok
	}
	return false, s.skip()
}

func (d *Decoder) time(s *scan, to *time.Time) (ok bool) {
	if text, ok := s.plain(); ok {
		return to.UnmarshalText(text) == nil
	}
	begin := s.at
	if d.Time == nil || !s.skip() {
		return false
	}
	*to, ok = d.Time(s.text[begin:s.at])
	return ok
}

// detail takes the members that were passed over for the event's details. Nobody has
// looked at their values yet.
func (d *Decoder) detail(e *fsm.Event) bool {
	if len(d.members) == 1 {
		return true
	}
	d.members[len(d.members)-1] = '}'
	if known, ok := d.details[string(d.members)]; ok {
		e.Details = known
		return true
	}
	var err error
	e.Details, err = fsm.DetailsOf(d.members)
	if err != nil || len(d.members) > maxDetailsLen {
		return err == nil
	}
	if d.details == nil || len(d.details) >= maxDetails {
		d.details = make(map[string]fsm.Details)
	}
	d.details[string(d.members)] = e.Details
	return true
}

// read reads a string of any kind.
func read[T ~string](d *Decoder, s *scan, to *T) bool {
	if text, ok := s.plain(); ok {
		*to = T(d.keep(text))
		return true
	}
	raw, ok := s.quoted()
	if !ok {
		return false
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return false
	}
	*to = T(text)
	return true
}

// keep returns the string of text, the same one each time.
func (d *Decoder) keep(text []byte) string {
	if name, ok := d.names[string(text)]; ok {
		return name
	}
	name := string(text)
	if len(name) > maxNameLen {
		return name
	}
	if d.names == nil || len(d.names) >= maxNames {
		d.names = make(map[string]string)
	}
	d.names[name] = name
	return name
}

// scan is a place in a line.
type scan struct {
	text []byte
	at   int
}

func (s *scan) eat(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// plain reads a string without escapes that is ASCII. It does not move on false.
func (s *scan) plain() ([]byte, bool) {
	if s.at >= len(s.text) || s.text[s.at] != '"' {
		return nil, false
	}
	end := s.at + 1
	for end < len(s.text) && isPlain(s.text[end]) {
		end++
	}
	if end == len(s.text) || s.text[end] != '"' {
		return nil, false
	}
	text := s.text[s.at+1 : end]
	s.at = end + 1
	return text, true
}

// quoted reads any string, with its quotes, for encoding/json to judge.
func (s *scan) quoted() ([]byte, bool) {
	if s.at >= len(s.text) || s.text[s.at] != '"' {
		return nil, false
	}
	for end := s.at + 1; end < len(s.text); end++ {
		switch s.text[end] {
		case '\\':
			end++
		case '"':
			raw := s.text[s.at : end+1]
			s.at = end + 1
			return raw, true
		}
	}
	return nil, false
}

// digits reads a whole number of at most 18 digits, which fits.
func (s *scan) digits() (n int64, ok bool) {
	begin := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		n = n*10 + int64(s.text[s.at]-'0')
		s.at++
	}
	size := s.at - begin
	return n, size == 1 || size > 1 && size <= 18 && s.text[begin] != '0'
}

func (s *scan) uint64(to *uint64) bool {
	n, ok := s.digits()
	*to = uint64(n)
	return ok
}

func (s *scan) int64(to *int64) bool {
	minus := s.eat('-')
	n, ok := s.digits()
	if minus {
		n = -n
	}
	*to = n
	return ok
}

func (s *scan) int(to *int) bool {
	var n int64
	ok := s.int64(&n) && n >= math.MinInt && n <= math.MaxInt
	*to = int(n)
	return ok
}

// skip passes over what is a value, if it is one: to the comma or the brace behind it.
func (s *scan) skip() bool {
	for depth := 0; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '"':
			if _, ok := s.quoted(); !ok {
				return false
			}
			s.at-- // quoted has gone behind it
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				return true
			}
			if s.text[s.at] != ',' {
				depth--
			}
		}
	}
	return false
}
