package fsm

import "strconv"

// DetailsBuilder makes [Details] of texts and whole numbers, as [NewDetails] makes
// them of a struct with these members, but for the cost: it uses no reflection. As
// with omitempty, an empty text and a 0 are left out. The zero value is empty.
type DetailsBuilder struct {
	members []byte
	err     error
}

// Text adds a text.
func (b *DetailsBuilder) Text(name, value string) {
	if value != "" && b.begin(name) {
		b.members = appendText(b.members, value)
	}
}

// Int adds a whole number.
func (b *DetailsBuilder) Int(name string, value int64) {
	if value != 0 && b.begin(name) {
		b.members = strconv.AppendInt(b.members, value, 10)
	}
}

// Uint adds a whole number.
func (b *DetailsBuilder) Uint(name string, value uint64) {
	if value != 0 && b.begin(name) {
		b.members = strconv.AppendUint(b.members, value, 10)
	}
}

// begin writes what stands before a value; false for a name that is taken.
func (b *DetailsBuilder) begin(name string) bool {
	if b.err == nil {
		b.err = checkName(name)
	}
	if b.err != nil {
		return false
	}
	if b.members == nil {
		b.members = make([]byte, 0, ordinaryDetails)
	}
	b.members = appendName(b.members, name)
	return true
}

// ordinaryDetails is how much there is room for at first, in bytes.
const ordinaryDetails = 128

// Details returns what was added. The error is an [ErrDetails] for a member that has
// the name of one of an event's own, and for more than 8 KiB of JSON.
func (b *DetailsBuilder) Details() (Details, error) {
	if b.err == nil {
		b.err = checkSize(len(b.members))
	}
	if b.err != nil {
		return Details{}, b.err
	}
	return Details{string(b.members)}, nil
}
