package fsm

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// member is one of a JSON object.
type member struct{ name, value string }

// membersOf returns the members of an object in their order.
func membersOf(object []byte) ([]member, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, object); err != nil {
		return nil, err
	}
	text := compact.String()
	if text[0] != '{' {
		return nil, errors.New("it is no JSON object")
	}
	if !utf8.ValidString(text) {
		text = string([]rune(text)) // U+FFFD for each byte, as encoding/json has it
	}
	var members []member
	for rest := text[1 : len(text)-1]; rest != ""; {
		var m member
		m, rest = nextMember(rest)
		members = append(members, m)
	}
	return members, nil
}

// nextMember cuts the first of the members of an object off them. They are compact.
func nextMember(members string) (m member, rest string) {
	name, rest := cutJSON(members, ':')
	if m.name = name[1 : len(name)-1]; strings.IndexByte(name, '\\') >= 0 {
		m.name = unescaped(name)
	}
	m.value, rest = cutJSON(rest, ',')
	return m, rest
}

func unescaped(quoted string) (text string) {
	_ = json.Unmarshal([]byte(quoted), &text) // it is valid
	return text
}

// cutJSON cuts a text around the first separator that does not stand within a string, a
// list or an object.
func cutJSON(text string, separator byte) (before, after string) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			i = endOfString(text, i)
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
		case c == separator && depth == 0:
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

// endOfString returns where the string ends that begins at a quote.
func endOfString(text string, quote int) int {
	for i := quote + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(text)
}

// joined returns the details that members are.
func joined(members []member) Details {
	var b []byte
	for _, m := range members {
		b = append(appendName(b, m.name), m.value...)
	}
	return Details{string(b)}
}

// appendName appends what stands before the value of a member.
func appendName(b []byte, name string) []byte {
	if len(b) > 0 {
		b = append(b, ',')
	}
	return append(appendText(b, name), ':')
}

// appendText appends a text as compactJSON has it.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			quoted, _ := compactJSON(text) // a string always has a form in JSON
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}

// compactJSON is json.Marshal, but for HTML, which is not escaped.
func compactJSON(v any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(text.Bytes(), []byte{'\n'}), err
}
