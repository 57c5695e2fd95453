package fsm

// The names of an event's fields, for JSON, log lines and [DivergenceError].
const (
	FieldVersion    = "v"
	FieldKind       = "kind"
	FieldSeq        = "seq"
	FieldRun        = "run"
	FieldMachine    = "machine"
	FieldTime       = "time"
	FieldMonoNS     = "mono_ns"
	FieldFrom       = "from"
	FieldTo         = "to"
	FieldTrigger    = "trigger"
	FieldInStateMS  = "in_state_ms"
	FieldTable      = "table"
	FieldGeneration = "gen"
	FieldAttempt    = "attempt"
	FieldBackoffMS  = "backoff_ms"
	FieldEndpoint   = "endpoint"
	FieldQueue      = "queue"
	FieldScope      = "scope"
	FieldClass      = "class"
	FieldCode       = "code"
	FieldError      = "error"
	FieldNote       = "note"
)
