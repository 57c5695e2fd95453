package journal

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/everhop/everhop/fsm"
)

// maxText is where a text is cut, in bytes, so that a record never comes near
// maxLine, however many of its bytes have to be escaped.
const maxText = 8 << 10

// appendEvent appends e as encoding/json writes it, without HTML escapes and
// without the closing brace. What JSON cannot hold is replaced, never refused:
// invalid UTF-8 by U+FFFD, a time outside of the years 0 to 9999 by the zero time.
func appendEvent(b []byte, e *fsm.Event) []byte {
	b = appendInt(append(b, '{'), fsm.FieldVersion, int64(e.V))
	b = appendString(b, fsm.FieldKind, string(e.Kind))
	b = appendText(b, fsm.FieldName, e.Name)
	b = strconv.AppendUint(appendName(b, fsm.FieldSeq), e.Seq, 10)
	b = appendString(b, fsm.FieldRun, e.Run)
	b = appendText(b, fsm.FieldMachine, e.Machine)
	b = appendTime(b, fsm.FieldTime, e.Time)
	b = appendInt(b, fsm.FieldMonoNS, e.MonoNS)
	b = appendString(b, fsm.FieldFrom, string(e.From))
	b = appendString(b, fsm.FieldTo, string(e.To))
	b = appendText(b, fsm.FieldTrigger, string(e.Trigger))
	b = appendText(b, fsm.FieldVia, string(e.Via))
	b = appendText(b, fsm.FieldBack, string(e.Back))
	if e.Count > 0 {
		b = strconv.AppendUint(appendName(b, fsm.FieldCount), e.Count, 10)
	}
	b = appendInt(b, fsm.FieldInStateMS, e.InStateMS)
	b = appendText(b, fsm.FieldTable, e.Table)
	b = appendDetails(b, e.Details)
	b = appendText(b, fsm.FieldError, e.Error)
	return appendText(b, fsm.FieldNote, e.Note)
}

// appendDetails leaves out what could be mistaken for the members of a record, and
// details that are too long for a line.
func appendDetails(b []byte, d fsm.Details) []byte {
	members := withoutOwn(d).String()
	if members == "" || len(members) > maxText {
		return b
	}
	return append(append(b, ','), members...)
}

// withoutOwn returns the details that do not have the names of a record's own members.
func withoutOwn(d fsm.Details) fsm.Details {
	if members := d.String(); !strings.Contains(members, `"`+fieldPrev+`":`) && !strings.Contains(members, `"`+fieldCRC+`":`) {
		return d
	}
	var others []string
	for name, value := range d.All() {
		if name != fieldPrev && name != fieldCRC {
			quoted, _ := json.Marshal(name) // a string always has a form in JSON
			others = append(others, string(quoted)+":"+value)
		}
	}
	d, _ = fsm.DetailsOf([]byte("{" + strings.Join(others, ",") + "}")) // they were details before
	return d
}

func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(append(append(b, '"'), name...), '"', ':')
}

func appendInt(b []byte, name string, v int64) []byte {
	return strconv.AppendInt(appendName(b, name), v, 10)
}

// appendText leaves out what is empty.
func appendText(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(b, name, s)
}

func appendTime(b []byte, name string, t time.Time) []byte {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		t = time.Time{}
	}
	b = append(appendName(b, name), '"')
	return append(t.AppendFormat(b, time.RFC3339Nano), '"')
}

func appendString(b []byte, name, s string) []byte {
	b = append(appendName(b, name), '"')
	s = cut(s)
	plain := 0 // where what is not yet copied begins
	for i := 0; i < len(s); {
		if c := s[i]; isPlain(c) {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r < utf8.RuneSelf || r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			b = appendEscaped(append(b, s[plain:i]...), r)
			plain = i + size
		}
		i += size
	}
	return append(append(b, s[plain:]...), '"')
}

// isPlain reports whether c stands for itself within a JSON string and is ASCII.
func isPlain(c byte) bool { return c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' }

func appendEscaped(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return append(b, '\\', 'u', hex[r>>12&0xf], hex[r>>8&0xf], hex[r>>4&0xf], hex[r&0xf])
}

// cut returns s, or as much of it as fits into maxText with an ellipsis.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	const ellipsis = "…"
	end := maxText - len(ellipsis)
	for start := end; start > end-utf8.UTFMax; start-- { // not within a rune
		if utf8.RuneStart(s[start]) {
			end = start
			break
		}
	}
	return s[:end] + ellipsis
}
