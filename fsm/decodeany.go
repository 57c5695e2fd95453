package fsm

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNewerSchema is returned for an event of a later version than [Schema]: a
// newer everhop wrote it, and a newer one has to read it.
var ErrNewerSchema = errors.New("fsm: a newer everhop wrote this")

// upgrades bring the members of an event of the version they are found by to the
// next version. They depend on nothing else, and Schema 1 needs none.
var upgrades = map[int]func(members map[string]json.RawMessage) error{}

// decodeAny reads an event of any version, from whatever is JSON.
func decodeAny(line []byte) (Event, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		return Event{}, err
	}
	v, err := upgrade(members)
	if err != nil {
		return Event{}, err
	}
	e := Event{V: v}
	for name, to := range e.members() {
		raw, ok := members[name]
		if !ok {
			continue
		}
		if err := json.Unmarshal(raw, to); err != nil {
			return Event{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return e, nil
}

// upgrade brings members to Schema, which it returns.
func upgrade(members map[string]json.RawMessage) (int, error) {
	raw, ok := members[FieldVersion]
	if !ok {
		return 0, fmt.Errorf("%s is missing", FieldVersion)
	}
	var v int
	if err := json.Unmarshal(raw, &v); err != nil {
		return 0, fmt.Errorf("%s: %w", FieldVersion, err)
	}
	if v > Schema {
		return 0, fmt.Errorf("%w: the event has version %d, this build reads up to %d", ErrNewerSchema, v, Schema)
	}
	for ; v < Schema; v++ {
		up, ok := upgrades[v]
		if !ok {
			return 0, fmt.Errorf("%s is %d, which no everhop wrote", FieldVersion, v)
		}
		if err := up(members); err != nil {
			return 0, fmt.Errorf("from version %d: %w", v, err)
		}
	}
	return v, nil
}

// members returns where each member but the version goes.
func (e *Event) members() map[string]any {
	return map[string]any{
		FieldKind: &e.Kind, FieldSeq: &e.Seq, FieldRun: &e.Run, FieldMachine: &e.Machine,
		FieldTime: &e.Time, FieldMonoNS: &e.MonoNS, FieldFrom: &e.From, FieldTo: &e.To,
		FieldTrigger: &e.Trigger, FieldInStateMS: &e.InStateMS, FieldTable: &e.Table,
		FieldGeneration: &e.Generation, FieldAttempt: &e.Attempt, FieldBackoffMS: &e.BackoffMS,
		FieldEndpoint: &e.Endpoint, FieldQueue: &e.Queue, FieldScope: &e.Scope, FieldClass: &e.Class,
		FieldCode: &e.Code, FieldError: &e.Error, FieldNote: &e.Note,
	}
}
