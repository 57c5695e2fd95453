// Package term is what everhop knows about terminals: whether it writes to one and how wide that is, how text is
// painted, and how text that comes from outside is kept from commanding it.
//
//	from outside: names, bodies, errors, notes
//	      │ Plain, Paint: escaped                     │ Output.Write: escaped if it is a terminal
//	      ▼                                           │
//	    Text ──► Output.Print: as it is ──► terminal ◄┘
//
// A terminal obeys control characters, and whoever publishes a message, names a queue or answers an AMQP call
// can send some. So nobody in everhop writes to a terminal but through an [Output], which takes two kinds of
// text: that of Write may be from anywhere, and is harmless when it arrives; that of Print may paint and move
// the cursor, and is [Text], which only this package makes of other strings. A test holds everhop to that.
package term
