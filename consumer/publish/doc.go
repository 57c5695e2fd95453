// Package publish publishes messages as robustly as package consumer consumes them: through cut connections, restarts and
// alarms, until the broker has confirmed each one.
//
//	p, err := publish.New(publish.Config{URLs: []string{url}})
//	go p.Run(ctx)
//	err = p.Publish(ctx, &broker.Message{RoutingKey: "orders", Body: body})
//
// Publish returns nil when the broker has taken responsibility for the message. What was sent and not confirmed when a
// connection is lost is sent again on the next one, before anything newer, so that messages of one exchange and routing key
// stay in order. A message may be stored twice by that: it keeps its MessageID, by which who consumes it can tell
// (consumer.Dedup).
//
// # One broken thing never takes the rest with it
//
//   - A target that gets no confirms, such as a queue without a majority of its nodes, takes at most half of the window; with
//     more of them each takes less. All others go on, in the end with one message at a time each; but more than
//     [Config].Window targets without confirms, such as a stuck queue that is bound for as many routing keys, fill it all.
//   - RabbitMQ's flow control would stop reading the whole connection because of such a queue. So what awaits its confirm for
//     long does so on a channel of its own, and the log says so ([NoteUnconfirmed]). Others wait for a quarter of a second
//     then, or for three times what a confirm usually takes. If much more is sent in that time than the 400 messages of
//     RabbitMQ's credit, the connection is lost once. The first message to a quorum queue without a leader holds up what was
//     sent on the same channel right behind it, for as long as RabbitMQ tries.
//   - A message that the broker does not like ends the channel (too large, no such exchange, no permission), or the
//     connection (a header that it cannot store). It gets that error; the others are sent again.
//   - When a caller's ctx ends, its wait ends, and nothing else.
//
// # Lifecycle
//
// A publisher's states are Disconnected, Connecting, Publishing, Blocked and Reviving; [Lifecycle] is the table. Each
// transition is an event in a journal, and a line in the log, as those of a consumer are.
package publish

// Inside:
//
// One goroutine, the supervisor (supervisor.go), opens, revives and gives up, and says when it was kept from that since the
// process stood still. outage.go tells what is worth trying again, declare.go has queues be there, and ending.go is the stop.
// The ledger (ledger.go) knows each message, and where it is, target.go what goes to one place; confirmation.go is what a
// caller has of one message, and batch.go of many. Lanes (lane.go) are channels with what is on its way over them: the main
// one, to which one goroutine writes (writer.go), and side ones (side.go, doubt.go), for what is sent again and for what may
// be refused. A main one that gets no confirms is set aside, and another one takes its place (aside.go). When they come and go
// with their connection, the ledger takes back what was on them (ledgerlanes.go).
