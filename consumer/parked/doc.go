// Package parked looks at what waits in a parking queue or a dead-letter queue, and repairs it: [Look] shows it, [Retry]
// publishes it to where it came from, [Discard] hands it to a sink and takes it out of the queue.
//
//	queue ──► consumed, not acknowledged ──► matches the filter? ──no──► held ──► back in its place at the end
//	                                              │yes
//	                                              ├─ Look:    held
//	                                              ├─ Retry:   published to its origin ──► confirmed ──► acknowledged
//	                                              └─ Discard: the sink has it for good ───────────────► acknowledged
//
// At any moment a message is in at least one of the two places. One that was published and not acknowledged, because
// the process was killed or the connection lost in between, is in both.
//
// It works for queues in which an Everhop consumer parks (the headers that package consumer describes), and for any other
// dead-letter queue (x-death).
//
// # What stays as it is
//
// Each call goes through the messages that wait in the queue when it begins, once, and through no others: what is retried
// and comes back meanwhile is left alone. All that is not acknowledged is given back at the end, and has its old place then,
// in classic and in quorum queues. Until then other consumers of the queue do not get it. A priority queue
// is looked at by priority.
//
// A look costs a message of a quorum queue one of its lives (x-delivery-count) before RabbitMQ 4.3, and none from then
// on: see Tally.Lives. Where no message tells, the queue's type is asked for, by a declaration that the broker refuses;
// its log may have a line about that. With Config.Count a look also costs a life of all that have come back before, which
// are in front: a quorum queue would put those that were looked at behind the others. A quorum queue does that, too, when ctx
// ends before a call is done. From 4.0 on there is a limit of 20 by default, past which the queue drops or dead-letters a
// message. In a classic queue a look sets redelivered, and nothing else.
//
// # Limits
//
// Messages are taken in parts, of up to 65,535 messages and about Config.MaxMemory (64 MiB): that is what waits in memory, if
// messages are of about the same size. What is held is not in memory. There are up to 256 parts, each with a channel, and
// then ErrTooMany. When the process is killed amid several parts, a quorum queue may put the parts back in another order.
//
// A stream has nothing to repair; [Look] reads one from Config.StreamOffset.
package parked
