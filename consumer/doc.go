// Package consumer consumes from RabbitMQ queues and does not stay dead: whatever happens to the
// connection, a channel or a queue, it is noticed within seconds, revived, and logged as a
// transition of an explicit state machine.
//
//	            Connect            Connected
//	Disconnected -----> Connecting ---------> Consuming <-----------------+
//	      ^                 |                  |     ^                    |
//	      |                 |     DrainTimeout |     | HeartbeatOK        |
//	      |                 |                  v     |                    |
//	      |                 |              HeartbeatCheck                 |
//	      |  ConnectionError|                    | HeartbeatFailed        | Revived
//	      |                 |                    | ConnectionError        |
//	      |                 v                    v ChannelError           |
//	      +------------- Reviving <--------------+------------------------+
//	   Stop, FatalError, RetriesExhausted     ReviveFailed: again, after the back-off
//
// [Lifecycle] is that machine as data; the graphs and the table in the README are made from it.
//
// One goroutine, the supervisor, decides. Dials, probes, watchers and handlers send it observations,
// stamped with the connection that they saw; it commits an event for each decision before it acts on
// it. Log lines, observers and State are projections of those events.
//
// # What it promises
//
//   - Consuming means consuming: it is entered only when the broker has confirmed every subscription.
//   - A dead peer is noticed within DrainTimeout + ProbeTimeout, whatever the handlers are doing, and a
//     slow one is not taken for dead as long as any byte comes in.
//   - Every message is handled at least once. It is acknowledged only after its handler returned nil, and
//     only on the channel that delivered it.
//   - While one subscription is revived on a healthy connection, the others go on.
//   - It gives up only on what trying again cannot heal (see Config.GiveUpOn), with an error that says
//     what to do.
//
// It does not promise exactly once: when the connection is lost before an acknowledgement arrived, the
// broker delivers the message again. And what the broker had already sent to a connection that was cut
// without a word comes back only when the broker notices too, after about three heartbeat intervals.
//
// # What the caller must do
//
//  1. Make handlers idempotent, and let them return when their context ends: one that does not
//     outlives Run, and its message is delivered again.
//  2. Acknowledge within the broker's consumer_timeout (30 minutes by default): keep Prefetch small when
//     handlers are slow.
//  3. Call Run once, and look at its error.
package consumer
