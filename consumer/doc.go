// Package consumer consumes from RabbitMQ queues and does not stay dead: whatever happens to the
// connection, a channel or a queue, it is noticed within seconds, revived, and logged as a
// transition of an explicit state machine.
//
//	            Connect            Connected
//	Disconnected -----> Connecting ---------> Consuming <---------------+
//	      ^                 |                 |  |   ^                  |
//	      |                 |    DrainTimeout |  |   | HeartbeatOK      |
//	      |                 |                 v  |   |                  |
//	      |                 |         HeartbeatCheck |                  |
//	      |                 |                 |  |                      | Revived
//	      | ConnectionError | HeartbeatFailed |  | ConnectionError      |
//	      |                 | ConnectionError |  | ChannelError         |
//	      |                 v ChannelError    v  v                      |
//	      +--------------- Reviving <-----------------------------------+
//	    FatalError          ReviveFailed: again, after the back-off
//	    RetriesExhausted
//	    Stop, from any state
//
// [Lifecycle] is that machine as data; the drawings and the table in the READMEs are made from it, and have every arrow.
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
//   - Every message is handled at least once. It is acknowledged only after its handler returned nil, or the
//     broker has confirmed a copy of it (delayed, parked or saved), and only on the channel that delivered
//     it.
//   - No message is dropped because its handler failed: it is tried again, and then dead-lettered or
//     parked (see Retry). Only a queue without a dead-letter exchange drops what it is told to reject,
//     and a quorum queue what exceeds its delivery limit before it can be saved.
//   - While one subscription is revived on a healthy connection, the others go on.
//   - It gives up only on what trying again cannot heal (see Config.GiveUpOn), with an error that says
//     what to do.
//
// It does not promise exactly once: when the connection is lost before an acknowledgement arrived, the
// broker delivers the message again. And what the broker had already sent to a connection that was cut
// without a word comes back only when the broker notices too, after about three heartbeat intervals.
//
// # The way of a delivery
//
//	the channel's inbox -> a worker -> the handler -> an outcome -> the channel's acknowledger
//	                                      |                           nil: basic.ack(multiple), shared
//	                        nil           +---------------------------+
//	                        Requeue       | wait in memory, then again; basic.nack if it stops before
//	                        Reject        | basic.reject, to the dead-letter exchange
//	                        RetryAfter    | wait in place, or publish into a delay queue, then basic.ack
//	                        another error | again in place, with growing pauses; then it is poison:
//	                        or a panic    | dead-lettered, parked or put back
//
// Acknowledgements wait for each other, for a few milliseconds and as long as the prefetch has room: the
// longest run of handled deliveries is settled by one frame. All other outcomes are sent at once, and
// alone. What cannot be sent because its channel is gone is counted and reported (Stats.Stale,
// Config.OnStale): the broker delivers it again.
//
// What is published again (delayed, parked, saved) goes over a connection of its own, since RabbitMQ
// stops reading from connections that publish under an alarm; it is mandatory and confirmed before the
// original is acknowledged. A delayed message comes back to the end of its queue, and by dead-lettering,
// which RabbitMQ does not confirm: if the queue is gone or full by then, it is lost
// (https://www.rabbitmq.com/docs/dlx#safety). Delays short enough to wait in place do not have that risk.
//
// A quorum queue counts how often a message comes back, and drops it in the end. So nothing is given back that need
// not be: what a pause, an open breaker or a put back has to wait for, it waits for in memory, unacknowledged, for
// up to three quarters of ConsumerTimeout. A message that has come back nearly as often as its queue allows is saved
// (Subscription.DeliveryLimit). When the consumer stops, what no handler has begun with goes back, and handlers may
// finish.
//
// # What can be seen
//
// [Consumer.Status] says what it does at this moment: the state, whether all is consumed and if not why, its connections,
// and each subscription with what its handlers have in hand. It waits for nobody, not even for a journal on a disk that hangs,
// and is cheap enough to be asked each second. Ready is for who sends work, Alive for who restarts: a consumer is alive
// through an outage, however long.
//
// # What the caller must do
//
//  1. Make handlers idempotent, and let them return when their context ends: one that does not
//     outlives Run, and its message is delivered again.
//  2. Handle within the broker's consumer_timeout (30 minutes by default; from RabbitMQ 4.3 on only quorum queues
//     have one), counted from when the broker sent the message: with Prefetch 64 and Concurrency 1 the last of 64 waits
//     for 63 handlers.
//  3. Call Run once, and look at its error.
package consumer

// Where to find what:
//
//	the caller's side
//	  consumer.go      New, Run, Stop
//	  config.go        Config and Subscription, their defaults and what is wrong with them
//	  retry.go         Retry and Poison, likewise; Backoff, of both
//	  dedup.go         Dedup, likewise
//	  control.go       a queue's Handle: Pause, Resume, SetPrefetch, SetConcurrency, Stats
//	  stats.go         what is counted
//	  status.go        what it does now
//	  errors.go        what Run and the methods return
//	  middleware.go    what is around a handler; handlers of JSON
//	  slog.go          a logger for programs that use log/slog
//	what it does now, for others to see
//	  board.go         what the supervisor shows, after each of its turns
//	  look.go          whoever looks there asks nobody, and waits for nobody
//	  reasons.go       why it is not ready, or not alive
//	  pulse.go         whether the supervisor turns
//	  internal/measure when handlers begin and end, and how long they take
//	the lifecycle
//	  lifecycle.go     the table
//	  evidence.go      what an event says of its cause
//	  notes.go         the names of events that change no state
//	  supervisor.go    the goroutine that decides
//	  connection.go    one of those that subscriptions are consumed on
//	  loss.go          a connection, a channel or a queue is gone: the one way in which something is given up
//	  clock.go         when the supervisor looks again, and whether it was kept from it
//	  internal/standstill knows when the process stood still
//	  probe.go         asking a silent broker
//	  overdue.go       handlers that take too long, and whether it was that for which a consumer was cancelled
//	  differs.go       what exists otherwise than it is declared
//	  reviving.go      attempts to connect and to revive
//	  apart.go         what is broken for long goes on apart
//	  home.go          and comes home, when it is well
//	  internal/revival when the next attempt begins
//	  window.go        how much of the prefetch is asked for: with PrefetchBytes, and after losses in a row
//	  steer.go         a live consumer becomes what its subscription wants to be
//	  stop.go          the end: softly, then hard
//	  minutes.go       what became of messages is told: by the minute, and what is rare by itself
//	  observe.go       which events are logged, and how loud; and for which a journal in files is synced
//	  internal/report  observers, and lines of the log: nobody waits for what hears of them
//	a delivery, in the order of its way
//	  dispatch.go      what the supervisor does with the deliveries of a subscription
//	  crew.go          the workers, the view that they go by, and what they have in hand
//	  channel.go       what they receive from, and what has come on it
//	  giveback.go      what no handler has begun with goes back, in the end and when a pause takes long
//	  worker.go        a worker receives it; it may have to wait for its predecessor of the same key
//	  handle.go        the handler is called, and again in place
//	  outcome.go       what its answer means; what no handler is called for
//	  detail.go        what was said about its error
//	  fate.go          what of it is rare is told
//	  lives.go         what has come back so often that its queue would drop it
//	  breaker.go       failures in a row
//	  unavailable.go   what handlers need is not there
//	  stream.go        what is different with a stream
//	  keep.go          what is not settled yet, and waits in memory for its next turn
//	  room.go          what waits there does not fill the prefetch
//	  overrun.go       what a handler takes longer for than the broker waits
//	  settle.go        the broker is told what became of it, if it was not simply handled
//	  commit.go        Commit comes before acknowledgements
//	  stale.go         what could not be sent
//	  onsettled.go     and what was, for those who ask
//	  internal/inside  where Stop must not wait for Run
//	  callbacks.go     how the caller's Commit, OnStale and OnSettled are called
//	  panics.go        what they panic with is told, but not each stack
//	  repeats.go       what goes wrong again and again is told ever more seldom
//	  internal/ack     acknowledgements are gathered and sent; which deliveries one frame can settle
//	  internal/lanes   the order of each key
//	  internal/dedup   which messages were handled before
//	a message that is published again
//	  republish.go     into a parking or a delay queue
//	  headers.go       what it is told on the way
//	  delay.go         the queue that it waits in
//	  leftcopies.go    what was sent, and nobody could wait for
//	  publisher.go     the connection; how it revives is in package publish
