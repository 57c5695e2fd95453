// Package brokertest is to RabbitMQ what net/http/httptest is to HTTP: an AMQP 0-9-1 broker in the
// test's own process. It starts in less than a millisecond, needs nothing but Go, behaves as RabbitMQ
// does where a client can see it, and misbehaves on command.
//
//	          loopback port, or Dial (in memory)
//	client ◄────────────────────────────────────► Server
//	                  ▲                            ├─ Publish, PublishMessage, DeclareQueue, DeclareExchange, Bind, SetPolicy
//	                  │                            ├─ StopApp, StartApp, Alarm, RefuseConnections
//	                  │                            ├─ SetPassword, SetPermissions, DeleteUser, AddVirtualHost
//	                  │                            ├─ SuspendQueue, ResumeQueue, WithholdConfirms, ReleaseConfirms
//	   Inject(Moment, Fault)                       └─ Queue, Messages, Connections, Settlements, Count, Await
//
// A [Fault] is what goes wrong on a connection: [Reset], [Freeze], [CloseChannel], [Nack] and others; [SplitFrames],
// [LargeHeader], [Garbage] and [StopInBody] go wrong in the frames themselves. A [Moment] is when: [Now], or
// [OnMethod] and its siblings, so that a fault comes at an exact place of the conversation, with no sleep in
// the test.
//
// A fault that can never happen is an error. What is about a queue is about one of the first virtual
// host; [Server.In] leads to those of others.
//
//	server := brokertest.NewServer(t)
//	server.Inject(brokertest.OnMethod("basic.ack", 3), brokertest.Reset())
//	// ... a client of server.URL() loses its connection with its third acknowledgement
//
// # Synthetic time
//
// [NewInMemoryServer] has no port; clients connect with its Dial. Client and server then run inside a
// testing/synctest bubble: minutes of heartbeats and outages pass in milliseconds, and happen the same
// way each time. One limit comes from the bubble: a goroutine that waits for a mutex stops its clock, and
// amqp091-go holds one while it writes. So let no client write more than 64 KiB to a broker that does not
// listen.
//
// # What the caller must do
//
//  1. Close a server that [Start] returned. NewServer and NewInMemoryServer close theirs with the test.
//  2. Make a server inside the bubble that it is used in.
//
// # What differs from RabbitMQ
//
// It behaves as RabbitMQ 4.3 does, or as 4.0 or 3.10: see [Version]. One suite of tests runs against each of them,
// real and played. These differences are meant; DIFFERENCES.md names the test that shows each, or says why there is none:
//
//   - EXTERNAL is offered wherever there is TLS, and takes the common name of a certificate; RabbitMQ has a plugin for it,
//     and takes all of the distinguished name unless it is told otherwise.
//   - Permissions come into effect at once; RabbitMQ lets a channel go on for a while with what it was allowed last.
//   - It refuses with 540 an argument of queue.declare, exchange.declare or basic.consume that it does not
//     know; RabbitMQ ignores it. A test that sets one expects something to come of it. Config.IgnoreUnknown
//     has it pass them over, and [Server.Ignored] tells which. It knows those that the Version knows, for the types of
//     queues that have them there, but for x-delayed-retry-type and its siblings of 4.3 and x-credit of 3.10. Something
//     comes of x-queue-type (classic, quorum, stream), x-expires, x-message-ttl, x-dead-letter-exchange,
//     x-dead-letter-routing-key, x-max-length, x-max-length-bytes, x-max-priority, x-overflow,
//     x-single-active-consumer, x-delivery-limit and x-consumer-timeout; of alternate-exchange for exchanges; and of
//     x-priority, x-stream-offset and x-consumer-timeout for consumers. The others are checked, and that is all.
//   - It speaks AMQP 0-9-1 only, and hangs up on a client of AMQP 1.0.
//   - A priority of 0 counts as none, which is 4 in a quorum queue of RabbitMQ 4.3.
//   - The consumer timeout is exact, and there is none that nobody asked for; RabbitMQ before 4.3 looks once a minute,
//     and gives 30 minutes.
//   - A stream forgets nothing, and its last chunk is its last message; of x-max-age, of x-max-length-bytes and of
//     filters nothing comes.
//   - The length of a stream is told at once; RabbitMQ tells what it was up to 5 s before.
//   - The pattern of a policy is a regular expression of Go; of two policies with the same priority the first by name
//     counts.
//   - Everything is in memory. A publisher confirm says that the message was routed, and each message is
//     confirmed with a frame of its own, but for those that ReleaseConfirms, or ResumeQueue, confirms together, and
//     with Config.BatchConfirms.
//   - When the single active consumer of a classic queue with a backlog is cancelled, the next one gets it;
//     RabbitMQ 3.10 loses track of such a queue.
//   - x-max-length and reject-publish are exact, on quorum queues too; there RabbitMQ enforces them with
//     slack.
//   - When a channel with several consumers closes, a quorum queue gets its messages back in the order of
//     their delivery tags; from RabbitMQ consumer by consumer.
//   - It resets the connection of a client that takes nothing of what waits for it for 30 s, up to 40; RabbitMQ also
//     that of one which takes too little of it.
//   - The queues of consumers that share a prefetch are served in turn; RabbitMQ draws lots.
//   - The names for direct replies are shorter.
//   - An x-death with a count that is no number, or with an entry that is no table, is read as far as it goes; RabbitMQ
//     3.10 loses the message.
//   - Where a reply text shows a value in Erlang's words, it is on one line; RabbitMQ breaks long ones.
//   - Of frames that no client library sends it speaks in its own words, and closes with 501 where RabbitMQ
//     hangs up. The reply codes are RabbitMQ's.
//   - Its server properties say that it is a test broker.
//
// # Memory
//
// A client that does not read is sent no more than fits into a buffer: its messages stay in their queues, its questions
// wait, direct replies to it are lost. One that the broker does not listen to can write 64 KiB. Nothing else a client
// does takes more room than what it has declared, opened and published, and has not deleted, closed and acknowledged,
// or what has not been confirmed; of that there may be as much as it likes.
//
// It is a broker for tests. It listens on 127.0.0.1, unless Config.Addr is another.
package brokertest
