// Package handlers hands each message to a command or to a server: it is what `everhop consume --exec` and --http do.
//
//	            ┌── Command ── body, environment, descriptor 3 ──► a process; its exit status    ──┐
//	Delivery ───┤                                                                                  ├──► nil or an error
//	            └── Poster  ── POST, headers ────────────────────► a server; the status it answers ──┘
//
// The error says what becomes of the message, as package consumer understands it: it is tried again, rejected, put back or
// poison; or it is not the message's failure, and all wait, since there is no such program or server. The end of what the command
// has written to standard error, or the begin of what the server has said, goes with it, without passwords.
//
// A command's outputs are pipes, which are copied to ours, so that lines of several do not mix, and none meets a reader that has
// gone. A message is acknowledged when all that its command has written is out. Most commands are short: what is done between two
// of them is what a consumer waits for, and so there is a way to attend to a command on Linux that wakes up no other thread.
//
// Who uses a [Command] or a [Poster]:
//
//  1. gives its Handle to a consumer, which may call it from several goroutines at once. When its context ends, it ends the
//     process and those that this has started, or the request;
//  2. calls Finish when the consumer has stopped, for the error that there is if some were not let finish, or output was lost;
//  3. calls End in the end, once, when no Handle runs any more.
//
// For example:
//
//	command := handlers.NewCommand(handlers.CommandConfig{Words: []string{"sh", "-c", "wc -c"}, Stdout: out, Stderr: out})
//	defer command.End()
//	c, err := consumer.New(consumer.Config{
//		URLs: urls, Subscriptions: []consumer.Subscription{{Queue: "orders", Handler: command.Handle}},
//	})
//	if err != nil {
//		return err
//	}
//	return errors.Join(c.Run(ctx), command.Finish(ctx))
//
// # Files
//
//	a command
//	  exec.go             it is started, awaited or ended, and what its end means
//	  environment.go      what it has of a message in its environment
//	  whole.go            the body on its standard input, all of the message on its descriptor 3
//	  children.go         it is killed with everhop; orphans are waited for
//	its outputs
//	  shared.go           they are passed on, in whole lines
//	  attend.go           until it has ended, on one thread
//	  readnow.go          what is there is read, and nothing waited for
//	  pipe.go             our ends of its pipes
//	  pipes.go            those of the next command are made while one runs
//	  tail.go             the end of its standard error, or the begin of an answer
//	a server
//	  http.go             a request, and what its answer means
//	  httpheaders.go      what it has of a message in its headers
package handlers
