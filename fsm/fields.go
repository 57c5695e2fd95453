package fsm

// The names of an event's own members, for JSON, log lines and [DivergenceError].
// [Details] can have any others.
const (
	FieldVersion   = "v"
	FieldKind      = "kind"
	FieldName      = "name"
	FieldSeq       = "seq"
	FieldRun       = "run"
	FieldMachine   = "machine"
	FieldTime      = "time"
	FieldMonoNS    = "mono_ns"
	FieldFrom      = "from"
	FieldTo        = "to"
	FieldTrigger   = "trigger"
	FieldVia       = "via"
	FieldBack      = "back"
	FieldCount     = "count"
	FieldInStateMS = "in_state_ms"
	FieldTable     = "table"
	FieldError     = "error"
	FieldNote      = "note"
)
