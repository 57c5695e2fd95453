package consumer

import (
	"sync"

	"github.com/everhop/everhop/fsm"
)

// The states of a consumer's connection. There are no others.
const (
	Disconnected   fsm.State = "Disconnected"
	Connecting     fsm.State = "Connecting"
	Consuming      fsm.State = "Consuming"
	HeartbeatCheck fsm.State = "HeartbeatCheck"
	Reviving       fsm.State = "Reviving"
)

// What moves a consumer from one state to the next.
const (
	Connect          fsm.Trigger = "Connect"
	Connected        fsm.Trigger = "Connected"
	ConnectionError  fsm.Trigger = "ConnectionError"
	ChannelError     fsm.Trigger = "ChannelError"
	DrainTimeout     fsm.Trigger = "DrainTimeout"
	HeartbeatOK      fsm.Trigger = "HeartbeatOK"
	HeartbeatFailed  fsm.Trigger = "HeartbeatFailed"
	Revived          fsm.Trigger = "Revived"
	ReviveFailed     fsm.Trigger = "ReviveFailed"
	FatalError       fsm.Trigger = "FatalError"
	RetriesExhausted fsm.Trigger = "RetriesExhausted"
	Stop             fsm.Trigger = "Stop"
	ProcessRestarted fsm.Trigger = "ProcessRestarted"
)

// Lifecycle is the table every consumer obeys. What runs, what is replayed, the graphs and the
// README's table are all made from it.
//
// Consuming is a promise: it is entered only when the broker has confirmed every subscription.
func Lifecycle() *fsm.Table { return lifecycle() }

var lifecycle = sync.OnceValue(func() *fsm.Table {
	table, err := fsm.NewTable(Disconnected,
		[]fsm.State{Disconnected, Connecting, Consuming, HeartbeatCheck, Reviving},
		[]fsm.Row{
			{From: from(Disconnected), Trigger: Connect, To: Connecting,
				Doc: "Run starts"},
			{From: from(Connecting), Trigger: Connected, To: Consuming,
				Doc: "the broker has confirmed every subscription"},
			{From: from(Connecting), Trigger: ConnectionError, To: Reviving,
				Doc: "the first connect failed, and trying again can help"},
			{From: from(Consuming), Trigger: DrainTimeout, To: HeartbeatCheck,
				Doc: "nothing came in for the drain timeout: the broker is probed"},
			{From: from(HeartbeatCheck), Trigger: HeartbeatOK, To: Consuming,
				Doc: "bytes came in: the answer, a delivery, a heartbeat, anything"},
			{From: from(HeartbeatCheck), Trigger: HeartbeatFailed, To: Reviving,
				Doc: "nothing came in within the probe timeout: the peer is dead"},
			{From: from(Consuming, HeartbeatCheck), Trigger: ConnectionError, To: Reviving,
				Doc: "the connection broke"},
			{From: from(Consuming, HeartbeatCheck), Trigger: ChannelError, To: Reviving,
				Doc: "a channel was closed, or the broker cancelled a consumer"},
			{From: from(Reviving), Trigger: Revived, To: Consuming,
				Doc: "the broker has confirmed every subscription again"},
			{From: from(Reviving), Trigger: ReviveFailed, To: Reviving,
				Doc: "one attempt failed; the next one follows after the back-off"},
			{From: from(Connecting, Reviving), Trigger: FatalError, To: Disconnected,
				Doc: "trying again cannot help"},
			{From: from(Reviving), Trigger: RetriesExhausted, To: Disconnected,
				Doc: "MaxReviveAttempts have failed"},
			{From: from(Connecting, Consuming, HeartbeatCheck, Reviving), Trigger: Stop, To: Disconnected,
				Doc: "the stop is complete"},
			{From: from(Connecting, Consuming, HeartbeatCheck, Reviving), Trigger: ProcessRestarted, To: Disconnected,
				Doc: "the journal's previous run ended without Stop"},
		})
	if err != nil {
		panic(err) // a constant table: its test fails before anything ships
	}
	return table
})

func from(states ...fsm.State) []fsm.State { return states }

// Failures are the triggers that say that something went wrong.
func Failures() []fsm.Trigger {
	return []fsm.Trigger{ConnectionError, ChannelError, HeartbeatFailed, ReviveFailed, FatalError, RetriesExhausted, ProcessRestarted}
}
