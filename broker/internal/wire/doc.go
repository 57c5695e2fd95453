// Package wire is the encoding of AMQP 0-9-1: frames, methods of both directions, content headers,
// properties and field tables. It knows no connection and no state.
//
//	bytes --Reader.Next--> Frame --ParseMethod--> *QueueDeclare, *BasicPublish, ...
//	                             --ParseHeader--> Header
//	                             --Delivered--> BasicDeliver, Header       as a client reads them
//	                             (a body frame's payload is the body)
//
//	*QueueDeclareOK, ... --AppendMethod--> payload --AppendFrame--> bytes
//	*BasicDeliver, Header, body ------AppendContent---------------> bytes
//
// Reading trusts nothing: no input makes it panic, and what it allocates is bounded by the frame
// limit and in proportion to the bytes that really came. Malformed input is a [*FrameError] from the
// Reader and a [*SyntaxError] or [*UnknownMethodError] from the Parse functions; the caller turns them
// into the reply codes of the protocol.
//
// Appending cannot fail: what the protocol cannot carry is cut or dropped as documented at
// [AppendMethod] and [Table].
//
// Everything parsed is a copy that belongs to the caller. A [Reader] and a [Delivered] are for one
// goroutine at a time; the functions may be called from anywhere.
package wire
