// Package fsm is an event-sourced state machine: the state is the fold of a log
// of events, and nothing changes the state but appending an event to that log.
// It opens no file and no socket, starts no goroutine, and reads no clock but the
// one it is given.
//
//	            Fire(trigger, evidence)
//	                     |
//	                     v
//	Table ----> is it permitted here? --no--> a "rejected" event, *NotPermittedError
//	                     | yes
//	                     v
//	            Journal.Append(event) --error--> nothing changed, ErrVetoed
//	                     | nil
//	                     v
//	            State, Last          any goroutine, lock-free
//	                     |
//	                     +--> Feed   one reader each, at its own pace
//	                     +--> Feed
//
//	Replay(table, log) == State, at any time, in any process
//
// A [Table] is data: one ordered slice of rows, checked when it is built. What
// the machine permits, what [Replay] accepts and what the drawings show
// ([Table.DOT], [Table.Mermaid], [Table.Markdown], and [Table.DOTSummary] with what
// has happened) all come from these rows.
//
// A [Machine] decides with its table, commits the event to its [Journal], then
// shows the new state. An [Event] says what happened (from, to, trigger) and
// carries [Evidence] of why; the state depends on the former only. What kind of
// thing the machine runs is nothing that this package knows: what is to be known of
// an order or a connection goes into the event's [Details], as it is.
//
// A [Ring] is a journal in memory, in which a week of idling does not push out what
// happened before. Package fsm/journal has one in files, which the next process
// continues. What a journal holds is a sequence of events, for [Replay] to prove, for a
// [Projection] such as [Summary] to count, or for a loop; a [Walker] tells what lies
// between them.
//
// What the caller must do:
//
//  1. Let one goroutine own the machine: only that one calls Fire and Record.
//     Another one that tries is refused with [ErrReentrant], never queued.
//  2. Act after Fire returned, on what it returned. No code of the caller runs
//     within a transition but Journal.Append and the clock.
//  3. Read every [Feed] it opened, or close it. A feed that is not read costs
//     memory up to its capacity and delays nobody.
//  4. Call [Machine.Close] in the end, so that the readers of feeds come home.
//  5. Give a [Journal] of its own to each machine: the numbering of events and
//     the state after a restart continue from it.
//
// The examples below are complete: a door, its log and its replay; a deployment,
// which has details of its own.
package fsm
