package fsm

import (
	"encoding/json"
	"math"
	"unicode/utf8"
)

// decoder turns lines into events. It keeps the names that come up again and
// again, so that reading allocates next to nothing.
type decoder struct{ names map[string]string }

// What a decoder keeps at most, so that a hostile file costs little memory.
const (
	maxNames   = 1024
	maxNameLen = 64
)

// decode reads the object in line. Members that are not known are ignored; the
// names of those that are must be spelled exactly.
func (d *decoder) decode(line []byte) (Event, error) {
	var e Event
	if d.fast(line, &e) && e.V == Schema {
		return e, nil
	}
	return decodeAny(line)
}

// fast reads what appendEvent writes. It gives up, with false, on anything it has
// not seen before; it never accepts what encoding/json refuses or reads another way.
func (d *decoder) fast(line []byte, e *Event) bool {
	s := scan{text: line}
	if !s.eat('{') {
		return false
	}
	for {
		name, ok := s.plain()
		if !ok || !s.eat(':') || !d.member(&s, name, e) {
			return false
		}
		if !s.eat(',') {
			return s.eat('}') && s.at == len(s.text)
		}
	}
}

func (d *decoder) member(s *scan, name []byte, e *Event) bool {
	switch string(name) {
	case FieldVersion:
		return s.int(&e.V)
	case FieldKind:
		return read(d, s, &e.Kind)
	case FieldSeq:
		return s.uint64(&e.Seq)
	case FieldRun:
		return read(d, s, &e.Run)
	case FieldMachine:
		return read(d, s, &e.Machine)
	case FieldTime:
		text, ok := s.plain()
		return ok && e.Time.UnmarshalText(text) == nil
	case FieldMonoNS:
		return s.int64(&e.MonoNS)
	case FieldFrom:
		return read(d, s, &e.From)
	case FieldTo:
		return read(d, s, &e.To)
	case FieldTrigger:
		return read(d, s, &e.Trigger)
	case FieldInStateMS:
		return s.int64(&e.InStateMS)
	case FieldTable:
		return read(d, s, &e.Table)
	}
	return d.evidence(s, name, &e.Evidence)
}

func (d *decoder) evidence(s *scan, name []byte, e *Evidence) bool {
	switch string(name) {
	case FieldGeneration:
		return s.uint64(&e.Generation)
	case FieldAttempt:
		return s.int(&e.Attempt)
	case FieldBackoffMS:
		return s.int64(&e.BackoffMS)
	case FieldEndpoint:
		return read(d, s, &e.Endpoint)
	case FieldQueue:
		return read(d, s, &e.Queue)
	case FieldScope:
		return read(d, s, &e.Scope)
	case FieldClass:
		return read(d, s, &e.Class)
	case FieldCode:
		return s.int(&e.Code)
	case FieldError:
		return read(d, s, &e.Error)
	case FieldNote:
		return read(d, s, &e.Note)
	}
	return s.skip()
}

// read reads a string of any kind.
func read[T ~string](d *decoder, s *scan, to *T) bool {
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
func (d *decoder) keep(text []byte) string {
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

// skip passes over a simple value of a member that is not known.
func (s *scan) skip() bool {
	if _, ok := s.plain(); ok {
		return true
	}
	if raw, ok := s.quoted(); ok {
		return utf8.Valid(raw) && json.Valid(raw)
	}
	var n int64
	return s.int64(&n)
}
