// Command everhop consumes from RabbitMQ through whatever happens to the connection, publishes as robustly
// with confirms, and tells from what it kept what has happened.
//
//	everhop consume ── messages ──► standard output, or the standard input of a command
//	                ── events ────► standard error, one line for each transition, and --journal
//	everhop publish ◄── messages ── standard input, or files
//	everhop peek    ◄── messages ── a queue, which keeps them
//	everhop parked  ◄── messages ── a parking queue: why they are there; ──► where they came from, or a file
//	everhop status  ◄── HTTP ────── consumers: what they do now, and what is the matter
//	everhop doctor  ◄── AMQP ────── a broker, and this machine: what does not work, or may not, and what to do
//	everhop health  ◄── HTTP ────── a consumer: alive or not, ready or not, for probes
//	everhop demo                    a consumer that survives, to watch
//	everhop broker                  a broker for tests, that breaks on command
//	everhop replay  ◄── events ──── a journal or a log: what happened, when and why
//	everhop verify  ◄── events ──── a journal: whether it is whole, and obeys the table of states
//	everhop graph   ◄── events ──── the states of a consumer, to draw, and what happened in them
//	everhop version
//	everhop man                     manual pages
//
// It parses, wires and prints, and reads and writes the messages of publish, consume, peek and parked. Consuming is package
// consumer's, handling a message by a command or a server that of internal/handlers, publishing package publish's, the past that
// of internal/past, which has it from packages fsm and consumer/history.
//
// Exit status: 0 when all is done, also after SIGINT, SIGTERM or SIGHUP to consume, and when the reader of standard
// output has had enough; 1 when it failed, or did not let what was at hand finish; 2 when the command line
// is wrong, the command is not there, or standard output is closed; 3 when a journal is damaged, status
// reaches no consumer that is alive, or doctor finds something broken; 130 when a signal came before there was a result.
//
// # Files
//
//	the program
//	  main.go             arguments to exit status; errors in words, without passwords
//	  root.go             the commands, and what they have in common
//	  flags.go            flags that say what they accept
//	  signals.go          the first signal asks to stop, the second one hurries
//	  stderr.go           standard error that nobody reads holds nobody up
//	  again.go            an output that takes nothing for now is waited for
//	  logging.go          --log-level, --log-format
//	  version.go          everhop version
//	  man.go              everhop man
//	consume
//	  consume.go          everhop consume
//	  source.go           --queue, --bind, --declare and the like
//	  urls.go             --url, and its variable of the environment
//	  access.go           --password-file, --tls-ca and the like
//	  config.go           the flags as a consumer.Config; what becomes of a message that fails
//	  journal.go          --journal
//	  limit.go            --count
//	  ending.go           --until-empty, --idle-timeout
//	  output.go           messages to standard output, many with one write
//	  format.go           --format, --null
//	  handling.go         --exec, --exec-argv, --http, --timeout, --reject-status
//	  pauses.go           --backoff, --breaker
//	  lookup.go           whether there is such a command, and whether it needs a shell
//	  reader.go           the reader of standard output has gone
//	  nowhere.go          standard output was closed from the beginning
//	publish
//	  publish.go          everhop publish
//	  publishing.go       the publisher at work, and what ends it
//	  sending.go          one message after the other, and their confirms
//	  input.go            where messages come from
//	  lines.go            what is read ahead, line by line
//	  properties.go       --header and the properties that are for every message
//	  pace.go             --rate, --max-rate
//	  hints.go            what to do about a message that cannot be published
//	look and repair
//	  peek.go             everhop peek
//	  parked.go           everhop parked list, show
//	  parkedrepair.go     everhop parked retry, discard
//	  binlock.go          the file of what is discarded is written by one process
//	  parkedflags.go      which messages are meant
//	  parkedtable.go      messages in columns
//	  progress.go         how far it is
//	now
//	  status.go           everhop status
//	  health.go           everhop health
//	  doctor.go           everhop doctor
//	  listen.go           --listen, and what systemd is told
//	demo
//	  demo.go             everhop demo
//	  broker.go           everhop broker
//	the past
//	  replay.go           everhop replay
//	  verify.go           everhop verify
//	  graph.go            everhop graph
//
// # Rooms
//
//	internal/handlers     hand each message to a command or a server: for consume
//	internal/record       a message as a line of JSON, and back: for consume, publish, peek and parked
//	internal/secrets      keeps passwords from being shown
//	internal/past         reads journals and logs, and tells of them: for replay, verify and graph
//	internal/glass        shows what consumers do now: for status
//	internal/doctor       looks for what is wrong, and what to do: for doctor
//	internal/term         terminals, and how text from outside is kept from commanding them
//	internal/demo         what everhop demo shows
//	internal/operator     what breaks the broker of everhop broker, over HTTP
//	internal/deadend      for tests: ports, pipes and terminals at whose other end is nobody
package main
