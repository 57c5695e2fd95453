package journal

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/everhop/everhop/fsm"
)

// ErrNewerSchema is returned for an event of a later version than [fsm.Schema]: a
// newer everhop wrote it, and a newer one has to read it.
var ErrNewerSchema = errors.New("journal: a newer everhop wrote this")

// upgrades bring an event of the version they are found by to the next version.
// They depend on nothing else, and Schema 1 needs none.
var upgrades = map[int]func(object json.RawMessage) (json.RawMessage, error){}

// decodeAny reads an event of any version, from whatever is JSON.
func decodeAny(line []byte) (fsm.Event, error) {
	var version map[string]json.RawMessage
	if err := json.Unmarshal(line, &version); err != nil {
		return fsm.Event{}, err
	}
	raw, ok := version[fsm.FieldVersion]
	if !ok {
		return fsm.Event{}, fmt.Errorf("%s is missing", fsm.FieldVersion)
	}
	var v int
	if err := json.Unmarshal(raw, &v); err != nil {
		return fsm.Event{}, fmt.Errorf("%s: %w", fsm.FieldVersion, err)
	}
	line, err := upgrade(line, v)
	if err != nil {
		return fsm.Event{}, err
	}
	var e fsm.Event
	if err := e.UnmarshalJSON(line); err != nil {
		return fsm.Event{}, err
	}
	e.V = fsm.Schema
	e.Details = withoutOwn(e.Details)
	return e, nil
}

// upgrade brings an event of version v to [fsm.Schema].
func upgrade(object json.RawMessage, v int) (json.RawMessage, error) {
	if v > fsm.Schema {
		return nil, fmt.Errorf("%w: the event has version %d, this build reads up to %d", ErrNewerSchema, v, fsm.Schema)
	}
	for ; v < fsm.Schema; v++ {
		up, ok := upgrades[v]
		if !ok {
			return nil, fmt.Errorf("%s is %d, which no everhop wrote", fsm.FieldVersion, v)
		}
		var err error
		if object, err = up(object); err != nil {
			return nil, fmt.Errorf("from version %d: %w", v, err)
		}
	}
	return object, nil
}
