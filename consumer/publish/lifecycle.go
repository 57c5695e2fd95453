package publish

import (
	"sync"

	"github.com/everhop/everhop/fsm"
)

// The states of a publisher's connection. There are no others.
const (
	Disconnected fsm.State = "Disconnected"
	Connecting   fsm.State = "Connecting"
	Publishing   fsm.State = "Publishing"
	Blocked      fsm.State = "Blocked"
	Reviving     fsm.State = "Reviving"
)

// What moves a publisher from one state to the next.
const (
	Connect             fsm.Trigger = "Connect"
	Connected           fsm.Trigger = "Connected"
	ConnectionError     fsm.Trigger = "ConnectionError"
	ConnectionBlocked   fsm.Trigger = "ConnectionBlocked"
	ConnectionUnblocked fsm.Trigger = "ConnectionUnblocked"
	HeartbeatFailed     fsm.Trigger = "HeartbeatFailed"
	ChannelError        fsm.Trigger = "ChannelError"
	Revived             fsm.Trigger = "Revived"
	ReviveFailed        fsm.Trigger = "ReviveFailed"
	FatalError          fsm.Trigger = "FatalError"
	RetriesExhausted    fsm.Trigger = "RetriesExhausted"
	Stop                fsm.Trigger = "Stop"
	ProcessRestarted    fsm.Trigger = "ProcessRestarted"
)

// Lifecycle is the table every publisher obeys. What runs, what is replayed and the graphs are all made from it.
func Lifecycle() *fsm.Table { return lifecycle() }

var lifecycle = sync.OnceValue(func() *fsm.Table {
	alive := []fsm.State{Publishing, Blocked}
	all := []fsm.State{Connecting, Publishing, Blocked, Reviving}
	table, err := fsm.NewTable(Disconnected,
		[]fsm.State{Disconnected, Connecting, Publishing, Blocked, Reviving},
		[]fsm.Row{
			{From: []fsm.State{Disconnected}, Trigger: Connect, To: Connecting,
				Doc: "Run starts"},
			{From: []fsm.State{Connecting}, Trigger: Connected, To: Publishing,
				Doc: "there is a channel, and messages go out"},
			{From: []fsm.State{Connecting}, Trigger: ConnectionError, To: Reviving,
				Doc: "the first connect failed, and trying again can help"},
			{From: []fsm.State{Publishing}, Trigger: ConnectionBlocked, To: Blocked,
				Doc: "the broker has stopped reading because of an alarm: messages wait"},
			{From: []fsm.State{Blocked}, Trigger: ConnectionUnblocked, To: Publishing,
				Doc: "the broker reads again"},
			{From: alive, Trigger: ConnectionError, To: Reviving,
				Doc: "the connection broke; what was not confirmed will be sent again"},
			{From: alive, Trigger: HeartbeatFailed, To: Reviving,
				Doc: "no sign of life came in within the probe timeout: the peer is dead"},
			{From: alive, Trigger: ChannelError, To: Reviving,
				Doc: "the broker closed the channel, because of a message that it does not like"},
			{From: []fsm.State{Reviving}, Trigger: Revived, To: Publishing,
				Doc: "there is a channel again; what was not confirmed goes out first"},
			{From: []fsm.State{Reviving}, Trigger: ReviveFailed, To: Reviving,
				Doc: "one attempt failed; the next one follows after the back-off"},
			{From: []fsm.State{Connecting, Reviving}, Trigger: FatalError, To: Disconnected,
				Doc: "trying again cannot help"},
			{From: []fsm.State{Reviving}, Trigger: RetriesExhausted, To: Disconnected,
				Doc: "MaxReviveAttempts have failed"},
			{From: all, Trigger: Stop, To: Disconnected,
				Doc: "the stop is complete"},
			{From: all, Trigger: ProcessRestarted, To: Disconnected,
				Doc: "the journal's previous run ended without Stop"},
		})
	if err != nil {
		panic(err) // a constant table: its test fails before anything ships
	}
	return table
})

// Failures are the triggers that say that something went wrong.
func Failures() []fsm.Trigger {
	return []fsm.Trigger{ConnectionError, HeartbeatFailed, ChannelError, ReviveFailed, FatalError, RetriesExhausted, ProcessRestarted}
}
