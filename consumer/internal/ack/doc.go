// Package ack settles the deliveries of a channel, with as few frames as it can while nobody has to wait
// for that.
//
// An [Acknowledger] settles the deliveries of one channel, and no others: whoever holds a delivery holds the
// Acknowledger that it must be settled through, and once the channel is gone nothing is sent any more,
// because the tags of the next one start at 1 again. A late acknowledgement is refused by package broker
// (ErrStale); what else is not settled on its channel is given up here then, and told of (Options.Stale).
//
//	Receive -> with its handler -> Finish --> gathered --> Commit --> one frame for a run of them
//	                            \                                \--> a frame each for those behind a slow one
//	                             -> Ack, Nack, Reject, Return: at once, and alone
//
// Acknowledgements are gathered, as long as nobody waits for that: what is not acknowledged is missing in the
// prefetch. They are sent
//   - when about a quarter of the prefetch, without what handlers are at work on, is finished, or mostPerFrame in
//     a row; and when a sixteenth of it is finished behind one that is known to be slow (see limits),
//   - when nothing has come in for a millisecond, and after five in any case, or nine for what was
//     finished behind one that was slow,
//   - by Flush, when the consumer stops or its channel is to be closed.
//
// The caller's part: Receive comes before anything else for a delivery, and then one of Finish, Ack, Nack,
// Reject and Return, once. Nothing is kept but an [Item]: the message itself is its handler's, to change and
// to keep.
package ack
