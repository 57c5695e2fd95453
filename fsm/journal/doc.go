// Package journal keeps the events of a state machine (package fsm) in files, and
// reads them back.
//
//	fsm.Machine --Append--> Journal --> directory --> Read, Records, Follow
//	                           |            |              \-> fsm.Replay
//	                           |            |              \-> fsm.Project(..., projections)
//	                          lock     00000000000000000001.jsonl
//	                                   00000000000000018802.jsonl   segments
//
// A journal is a directory of its own with JSON Lines in it. Each line is an event
// with a checksum that continues the one of the line before, so that a line which
// was changed, removed or moved is found. A segment begins with a snapshot, can be
// read alone, and is followed by a new one when it is large enough; the oldest are
// removed when there are too many. One process writes, any number reads meanwhile.
//
// What Append returned for outlives the process. What was synced besides outlives
// a power failure: see [SyncPolicy]. By default a full disk does not stop the
// machine: what could not be written is told as a gap as soon as writing works
// again; [Options].Strict makes it a veto instead.
//
// A [Decoder] reads the same events out of other files, such as logs.
//
// What the caller must do:
//
//  1. Give each machine a directory of its own.
//  2. Close the journal after the machine.
//  3. Stop at the first error that a reader yields: what came before it is right.
package journal
