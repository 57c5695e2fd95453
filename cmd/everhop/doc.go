// Command everhop consumes from RabbitMQ through whatever happens to the connection, and publishes
// with confirms.
//
//	everhop consume ── messages ──► standard output, or the standard input of a command
//	                ── events ────► standard error, one line for each transition
//	everhop publish ◄── lines ───── standard input
//	everhop demo                    a consumer that survives, to watch
//	everhop graph                   the states of a consumer, to draw
//	everhop version
//
// It only parses, wires and prints: consuming is package consumer's, publishing package broker's.
//
// Exit status: 0 when all is done, also after SIGINT or SIGTERM to consume, and when the reader of
// standard output has had enough; 1 when it failed, or did not let what was at hand finish; 2 when the
// command line is wrong.
package main
