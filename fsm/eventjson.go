package fsm

import (
	"encoding/json"
	"fmt"
)

// MarshalJSON returns the event as one flat object.
func (e Event) MarshalJSON() ([]byte, error) {
	type plain Event // without this method
	object, err := compactJSON(plain(e))
	if err != nil {
		return nil, err
	}
	why, err := compactJSON(e.Evidence)
	if err != nil {
		return nil, err
	}
	object = append(object[:len(object)-1], separated(e.Details.members)...)
	return append(append(object, separated(string(why[1:len(why)-1]))...), '}'), nil
}

// separated returns members that others stand before.
func separated(members string) string {
	if members == "" {
		return ""
	}
	return "," + members
}

// UnmarshalJSON reads an event of any source. Members that are not an event's own
// are its [Details]; the names of those that are must be spelled exactly.
func (e *Event) UnmarshalJSON(object []byte) error {
	members, err := membersOf(object)
	if err != nil {
		return err
	}
	*e = Event{}
	own := e.members()
	var others []member
	for _, m := range members {
		to, ok := own[m.name]
		if !ok {
			others = append(others, m)
			continue
		}
		if err := json.Unmarshal([]byte(m.value), to); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	e.Details = joined(others)
	return nil
}

// members returns where each of the event's own goes.
func (e *Event) members() map[string]any {
	return map[string]any{
		FieldVersion: &e.V, FieldKind: &e.Kind, FieldName: &e.Name, FieldSeq: &e.Seq, FieldRun: &e.Run,
		FieldMachine: &e.Machine, FieldTime: &e.Time, FieldMonoNS: &e.MonoNS, FieldFrom: &e.From, FieldTo: &e.To,
		FieldTrigger: &e.Trigger, FieldVia: &e.Via, FieldBack: &e.Back, FieldCount: &e.Count, FieldInStateMS: &e.InStateMS, FieldTable: &e.Table,
		FieldError: &e.Error, FieldNote: &e.Note,
	}
}
