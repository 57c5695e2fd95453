package fsm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
)

// Details are what the machine's owner adds to an event: members of its own in
// the event's JSON object. A machine and its journals carry them and never look
// inside. They are immutable, and can be compared. The zero value is none.
type Details struct{ members string } // as in a JSON object, without its braces

// maxDetails is how long details may be, in bytes of JSON: journals cut longer
// texts, and a part of these would be worth nothing.
const maxDetails = 8 << 10

// ErrDetails is returned for details that an event cannot have.
var ErrDetails = errors.New("fsm: not to be had as details")

// NewDetails returns the members of v, which encoding/json makes an object of: a
// struct or a map. The error is an [ErrDetails] for anything else, for a member
// that has the name of one of an event's own (see the Field constants), and for
// more than 8 KiB of JSON.
func NewDetails(v any) (Details, error) {
	text, err := compactJSON(v)
	if err != nil {
		return Details{}, fmt.Errorf("%w: %w", ErrDetails, err)
	}
	d, err := DetailsOf(text)
	if size := len(d.members); size > maxDetails {
		return Details{}, fmt.Errorf("%w: %d bytes of JSON, and %d are the most", ErrDetails, size, maxDetails)
	}
	return d, err
}

// DetailsOf returns the members of a JSON object in the order in which they stand
// there, as a reader of events finds them. The errors are those of [NewDetails],
// but any length will do.
func DetailsOf(object json.RawMessage) (Details, error) {
	members, err := membersOf(object)
	if err != nil {
		return Details{}, fmt.Errorf("%w: %w", ErrDetails, err)
	}
	for _, m := range members {
		if _, ok := ownMembers[m.name]; ok {
			return Details{}, fmt.Errorf("%w: %q is the name of one of an event's own", ErrDetails, m.name)
		}
	}
	return joined(members), nil
}

// ownMembers has the names that are taken.
var ownMembers = new(Event).members()

// Decode stores the details in v, as json.Unmarshal does with an object.
func (d Details) Decode(v any) error {
	return json.Unmarshal([]byte("{"+d.members+"}"), v)
}

// All returns the members in their order, each with its value in JSON.
func (d Details) All() iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		members, _ := membersOf([]byte("{" + d.members + "}"))
		for _, m := range members {
			if !yield(m.name, m.value) {
				return
			}
		}
	}
}

// Without returns the details that have other names.
func (d Details) Without(names ...string) Details {
	members, _ := membersOf([]byte("{" + d.members + "}"))
	return joined(slices.DeleteFunc(members, func(m member) bool { return slices.Contains(names, m.name) }))
}

// Equal reports whether the details are the same, as == does.
func (d Details) Equal(other Details) bool { return d == other }

// IsZero reports whether there are none.
func (d Details) IsZero() bool { return d.members == "" }

// String returns the members as they stand in JSON, separated by commas.
func (d Details) String() string { return d.members }

// joined returns the details that members are.
func joined(members []member) Details {
	var b strings.Builder
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := compactJSON(m.name) // a string always has a form in JSON
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	return Details{b.String()}
}

// compactJSON is json.Marshal, but for HTML, which is not escaped.
func compactJSON(v any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(text.Bytes(), []byte{'\n'}), err
}

// member is one of a JSON object.
type member struct {
	name  string
	value json.RawMessage // compact
}

// membersOf returns the members of an object in their order.
func membersOf(object []byte) ([]member, error) {
	if !json.Valid(object) { // json.Decoder would not mind what stands behind it
		return nil, json.Unmarshal(object, new(any))
	}
	in := json.NewDecoder(bytes.NewReader(object))
	if begin, _ := in.Token(); begin != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	var members []member
	for in.More() {
		name, err := in.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := in.Decode(&raw); err != nil {
			return nil, err
		}
		if !utf8.Valid(raw) {
			raw = []byte(string([]rune(string(raw)))) // U+FFFD for each byte, as in the text of a name
		}
		var value bytes.Buffer
		if err := json.Compact(&value, raw); err != nil {
			return nil, err
		}
		members = append(members, member{name.(string), value.Bytes()})
	}
	return members, nil
}
