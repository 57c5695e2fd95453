package journal

import (
	"encoding/hex"
	"hash/crc32"
	"time"

	"github.com/everhop/everhop/fsm"
)

// A record is one line: the event's JSON object with the checksum as its last
// member. The checksum is CRC-32C, continued from the one of the record before,
// over the bytes up to its own member; so a record that was changed, removed or
// moved breaks the chain. A snapshot names in a member before that the checksum
// it continues from, and with it a segment can be checked alone:
//
//	{"v":1,"kind":"snapshot",...,"prev":"00000000","crc":"5f2d93a1"}
//	{"v":1,"kind":"boot",...,"crc":"0b6cc9de"}
const (
	fieldPrev = "prev"
	fieldCRC  = "crc"
)

// The lengths of the members above: a name, eight digits, and for the checksum
// the closing brace.
const (
	prevLen = len(`,"` + fieldPrev + `":"01234567"`)
	sealLen = len(`,"` + fieldCRC + `":"01234567"}`)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends the line of e. Sum is the checksum of the record before,
// and the result the one of this.
func appendRecord(b []byte, e *fsm.Event, sum uint32) ([]byte, uint32) {
	start := len(b)
	b = appendEvent(b, e)
	if e.Kind == fsm.KindSnapshot {
		b = appendSum(b, fieldPrev, sum)
	}
	sum = crc32.Update(sum, castagnoli, b[start:])
	return append(appendSum(b, fieldCRC, sum), '}', '\n'), sum
}

func appendSum(b []byte, name string, sum uint32) []byte {
	b = append(appendName(b, name), '"')
	b = hex.AppendEncode(b, []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	return append(b, '"')
}

// unseal cuts the checksum off a line; false when it has none. Only what
// appendRecord writes is taken, so that a changed byte cannot mean the same.
func unseal(line []byte) (body []byte, sum uint32, ok bool) {
	if len(line) < sealLen || line[len(line)-1] != '}' {
		return nil, 0, false
	}
	body = line[:len(line)-sealLen]
	sum, ok = parseSum(line[len(body):len(line)-1], fieldCRC)
	return body, sum, ok
}

// previous returns the checksum that a snapshot names; false for other records.
// No string can be mistaken for it: the quotes within one are escaped.
func previous(body []byte) (sum uint32, ok bool) {
	if len(body) < prevLen {
		return 0, false
	}
	return parseSum(body[len(body)-prevLen:], fieldPrev)
}

// parseSum reads `,"name":"01234567"`.
func parseSum(member []byte, name string) (sum uint32, ok bool) {
	digits := len(member) - 9
	if string(member[:digits]) != `,"`+name+`":"` || member[len(member)-1] != '"' {
		return 0, false
	}
	for _, c := range member[digits : len(member)-1] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		sum = sum<<4 | uint32(c)
	}
	return sum, true
}

// snapshot returns what is known after e.
func snapshot(e fsm.Event) fsm.Event {
	e.Seq, e.InStateMS = e.LastSeq(), inState(&e)
	e.Kind, e.From, e.Trigger = fsm.KindSnapshot, e.To, ""
	e.Via, e.Back, e.Count = "", "", 0
	e.Name, e.Error, e.Note = "", "", ""
	return e
}

// genesis returns what is known before e, the first event of all.
func genesis(e *fsm.Event) fsm.Event {
	return fsm.Event{
		V: fsm.Schema, Kind: fsm.KindSnapshot, Seq: e.Seq - 1, Run: e.Run, Machine: e.Machine, Time: e.Time,
		From: e.From, To: e.From, Table: e.Table,
	}
}

// NoteTorn is the name of the note that a torn line was set aside.
const NoteTorn = "torn"

// tornNote is the remark that text was set aside behind e, in the name of e's
// run, since no other run has begun.
func tornNote(e fsm.Event, text string, now time.Time) fsm.Event {
	return fsm.Event{
		V: fsm.Schema, Kind: fsm.KindNote, Name: NoteTorn, Seq: e.LastSeq() + 1, Run: e.Run, Machine: e.Machine,
		Time: now.Round(0).UTC(), MonoNS: e.MonoNS, From: e.To, To: e.To, InStateMS: inState(&e),
		Evidence: fsm.Evidence{Note: text},
	}
}

// inState is how long, in milliseconds, the state after e had lasted at e.
func inState(e *fsm.Event) int64 {
	if e.Kind == fsm.KindTransition || e.Kind == fsm.KindCycle {
		return 0
	}
	return e.InStateMS
}
