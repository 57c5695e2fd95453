package fsm

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
)

// Details are what the machine's owner adds to an event: members of its own in
// the event's JSON object. A machine and its journals carry them and never look
// inside. They are immutable, and can be compared. The zero value is none.
type Details struct {
	members string // as in a JSON object, without its braces
}

// maxDetails is how long details may be, in bytes of JSON: journals cut longer
// texts, and a part of these would be worth nothing.
const maxDetails = 8 << 10

// ErrDetails is returned for details that an event cannot have.
var ErrDetails = errors.New("fsm: cannot be details")

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
	if err := checkSize(len(d.members)); err != nil {
		return Details{}, err
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
		if err := checkName(m.name); err != nil {
			return Details{}, err
		}
	}
	return joined(members), nil
}

// ownMembers has the names that are taken.
var ownMembers = new(Event).members()

func checkName(name string) error {
	if _, ok := ownMembers[name]; ok {
		return fmt.Errorf("%w: %q is the name of one of an event's own", ErrDetails, name)
	}
	return nil
}

func checkSize(size int) error {
	if size > maxDetails {
		return fmt.Errorf("%w: %d bytes of JSON, and %d are the most", ErrDetails, size, maxDetails)
	}
	return nil
}

// Decode stores the details in v, as json.Unmarshal does with an object.
func (d Details) Decode(v any) error {
	return json.Unmarshal([]byte("{"+d.members+"}"), v)
}

// All returns the members in their order, each with its value in compact JSON. It
// allocates nothing, but for names that are escaped.
func (d Details) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for rest := d.members; rest != ""; {
			var m member
			m, rest = nextMember(rest)
			if !yield(m.name, m.value) {
				return
			}
		}
	}
}

// IsZero reports whether there are none.
func (d Details) IsZero() bool { return d.members == "" }

// String returns the members as they stand in JSON, separated by commas.
func (d Details) String() string { return d.members }
