// Package record writes a message as a line of JSON and reads it again: what consume, peek and parked write with --output jsonl,
// what a command has on its descriptor 3, and what publish takes with --input jsonl.
//
//	consumer.Delivery ── Write, Stream ──► {"body":"...","headers":{...},"header_types":{...}} ── Read ──► broker.Message
//
// What is to be published again comes back as it was: the types of headers, of which AMQP has more than JSON, and text that is
// not UTF-8. Yet a line is as plain as JSON can be, and may be written by hand: a type that does not follow from the JSON
// stands beside it, in header_types.
//
// [Text], [Value] and [Time] are for those who write a header or a time elsewhere as it is in a record.
//
//	record.go     the members of a record, written at once
//	stream.go     the same, little by little
//	read.go       read again, and what is wrong with it
//	typed.go      headers in JSON, and their types beside them
//	typedtext.go  values of which JSON has only the text: names, times, decimals
//	text.go       a header alone
package record
