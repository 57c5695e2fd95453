// Package history tells what the events of a consumer or a publisher come to: a timeline to read, and a summary. Both
// are projections: they are given the events one by one, in order, while these happen or years later.
//
//	journal, log lines ──► events ──┬──► Timeline ──► entries: what happened, and what was folded
//	   (ParseLog)                   └──► Summary  ──► Report: availability, outages, attempts
//	                                             └──► Moment: the state, since when, and why
//
// # What counts as what
//
// The time between the first and the last event is of four kinds, and each moment is of one:
//
//	up       Consuming and HeartbeatCheck: messages are, or would be, consumed; of a publisher: Publishing
//	stopped  Disconnected after Stop, or before the first Connect: nobody wanted it to be up
//	down     all else: Connecting, Reviving, Blocked, Disconnected after giving up
//	unknown  it was up before events that are missing (a gap)
//
// In two cases the state says too much. A process that stands still is Consuming or Publishing all the while, and a note
// ([consumer.NoteStalled], and a publisher's of the same name) tells of it when it goes on. A peer that is dead is noticed
// after a silence, of which HeartbeatFailed tells. Both are down: the one is an outage of class [Stalled], the other began with
// the last sign of life. A loss within 5 seconds after a stall is the same outage.
//
// Availability is up / (up + down). A run that ended without Stop is down from its last event until it
// is up again: when it ended is not recorded, and it may have been up for a part of that time. So
// Report.Unrecorded says how much of the down time is such, and availability is then a lower bound.
//
// An outage is a stretch of down time with a failure in it: one that began while it was up, a first
// connect that failed, or the end of a run without Stop. It may last over several runs. It ends when it is up
// again, with Stop, or when a process that stood still goes on. The broker's alarm is an outage for a publisher:
// nothing gets through while it is Blocked. A connection that is lost then prolongs it.
//
// Durations within a run come from MonoNS. Between runs there is only the wall clock; that time is stopped or
// down, and in no state.
//
// # What became of messages
//
// The notes that tell of it ([consumer.NoteOutcomes], by the minute and queue, and [consumer.NoteParked] and others, by the
// message) count for no time. A Timeline makes one entry of minutes that are alike ([Minutes]), a Summary adds them up by
// queue (Report.Queues). A minute belongs to where it ends.
//
// # What a log may lack
//
// A log may begin anywhere, and miss events. A log at info level lacks what became of messages, the idle
// heartbeats and most of the failed attempts: Seq then jumps, From says which state it was, and InStateMS since
// when. Events that a log has twice count once.
//
// # What the caller must do
//
//  1. Give the events of one machine to each Timeline and Summary, in the order of the log.
//  2. Use each from one goroutine at a time. [fsm.Share] makes an observer of one that others read while a
//     consumer runs.
//  3. Call Timeline.Flush in the end: what it is folding is shown only when it is complete.
//
// Whether the events are a consumer's or a publisher's need not be said: they tell themselves ([LifecycleOf]).
package history
