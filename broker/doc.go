// Package broker is everything in Everhop that speaks AMQP 0-9-1: endpoints, dialing, the liveness
// of a connection, topology, error classes, publishing. It is the only package that imports
// amqp091-go, and no type of that library leaves it.
//
//	Plan ---- Open ----> Session                  one generation: never revived, only replaced
//	 endpoints            |  control channel <--> Probe       is the peer alive?
//	 credentials, TLS     |  Losses, BlockedChanges --------> what broke, classified once
//	 subscriptions        |
//	                      +-- Consume(i) --> Consumer          a channel of its own
//	                      +-- Consume(j) --> Consumer
//	                                           Receive --> Delivery --> Ack, AckUpTo, Reject, Nack
//	                                           Cancel, Resume           on the same channel
//
//	Plan -- OpenPublisher --> Publisher           a connection of its own, not revived either
//	                           Publish --> Confirm --> Wait      stored, returned or refused
//
// # The rules it keeps
//
// Nothing hangs. The calls of amqp091-go take no context and have no time limit; here each runs under
// a guard that probes the broker while it waits, and takes the socket away when nothing comes in any
// more. Writes have a deadline.
//
// A queue that does not answer costs a channel, not the connection. When the answer is overdue or the context ends,
// the call returns with class [Overdue], and its channel is left behind until the answer comes after all: see
// [Session.Abandoned].
//
// Any byte is a sign of life. A peer counts as dead only when it sent nothing at all for DrainTimeout,
// then was asked (basic.qos on the control channel), and still sent nothing for ProbeTimeout. RabbitMQ
// counts any traffic as a heartbeat too (https://www.rabbitmq.com/docs/heartbeats). AMQP's
// heartbeats stay on as the second line.
//
// No message breaks a connection. Deliveries are read off the socket here, and amqp091-go never sees them: it
// ends the connection on a message that it does not like, which then comes again on the next one. What cannot
// be read, or is larger than Plan.MaxMessageSize, is a [Delivery] like any other, with Unreadable set.
//
//	socket --> demux --+--> route --> inbox --> Receive      deliveries on channels that are consumed
//	                   +--> amqp091-go                       everything else, unchanged
//
// A delivery is settled on the channel that delivered it or not at all: see [Consumer].
//
// Every address counts. All endpoints, and all addresses that their host names have, are raced until AMQP is open on
// one of them; but no more than two dials of one of them are under way at once.
//
// Errors are classified once, by [Classify], and leave as an [*Error].
//
// What AMQP cannot carry is refused before anything is sent, with the name of its field: a name that
// [CheckName] finds fault with, an argument of a type that AMQP does not have.
//
// What the caller supplies costs only itself. Credentials, TLS or Dial that panic, hang or return nothing
// are a failed attempt (see [Plan]).
//
// Passwords are seen by the broker alone. None is in an error, and none in what fmt, log or a JSON encoder
// makes of any value of this package, or of one that holds it.
//
// # What the caller must do
//
//  1. End every [Session] with Close or Abort, and every [Publisher] with Close.
//  2. Receive from Losses until then.
//  3. Never publish over a Session; use a [Publisher].
//
// The consumer package does all this and revives what broke; use this package for what needs more
// control, and its [Publisher] to publish.
package broker
