package wire

import (
	"bytes"
	"fmt"
	"time"
)

// maxDepth is how many tables and arrays may be inside of one another.
const maxDepth = 64

// Table is a field table. The Go type of a value decides the type on the wire:
//
//	bool     t      int8   b      uint8  B      float32  f      string     S (long string)
//	nil      V      int16  s      uint16 u      float64  d      []byte     x
//	Decimal  D      int32  I      uint32 i                      []any      A
//	Table    F      int64  l                                    time.Time  T (whole seconds, UTC)
//
// These are the letters that RabbitMQ and its clients use; the specification has others. In addition
// an int is sent as an int64, and 'L' is read as one.
//
// Anything else is sent as nil, and a key is cut after 255 bytes; see [Validate]. When a peer sends a key
// twice, the later value stays.
type Table = map[string]any

// Decimal is Value divided by Scale powers of ten.
type Decimal struct {
	Scale uint8
	Value int32
}

// Clone returns a deep copy.
func Clone(t Table) Table {
	if t == nil {
		return nil
	}
	clone := make(Table, len(t))
	for key, v := range t {
		clone[key] = cloneValue(v)
	}
	return clone
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case Table:
		return Clone(v)
	case []byte:
		return bytes.Clone(v)
	case []any:
		if v == nil {
			return v
		}
		clone := make([]any, len(v))
		for i := range v {
			clone[i] = cloneValue(v[i])
		}
		return clone
	default:
		return v
	}
}

// Validate reports a value or a key that would not arrive as it is, or a nesting that the peer would
// refuse. Tables that were parsed need no such check, those made by hand may.
func Validate(t Table) error { return validateTable(t, 0) }

func validateTable(t Table, depth int) error {
	if depth >= maxDepth {
		return errTooDeep
	}
	for key, v := range t {
		if len(key) > MaxShortString {
			return fmt.Errorf("wire: the key %q is longer than %d bytes", key, MaxShortString)
		}
		if err := validateValue(v, depth+1); err != nil {
			return fmt.Errorf("%w, at %q", err, key)
		}
	}
	return nil
}

func validateValue(v any, depth int) error {
	switch v := v.(type) {
	case nil, bool, int8, uint8, int16, uint16, int32, uint32, int64, int, float32, float64,
		Decimal, string, []byte, time.Time:
		return nil
	case Table:
		return validateTable(v, depth)
	case []any:
		if depth >= maxDepth {
			return errTooDeep
		}
		for _, element := range v {
			if err := validateValue(element, depth+1); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("wire: a table cannot hold a %T", v)
	}
}

var errTooDeep = fmt.Errorf("wire: tables nested deeper than %d", maxDepth)
