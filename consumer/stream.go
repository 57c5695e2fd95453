package consumer

import "time"

// A stream keeps its messages whatever becomes of them: nothing can be put back into it or dead-lettered
// from it. What is not acknowledged stays, and the next channel reads on behind the last message up to
// which all were handled.

// isStream tells whether the subscription says that its queue is one: it cannot be seen from here.
func (s Subscription) isStream() bool {
	_, asked := s.Arguments["x-stream-offset"]
	return asked || s.Declare != nil && s.Declare.Arguments["x-queue-type"] == "stream"
}

// onStream puts what a stream can do in the place of what it cannot.
func (o outcome) onStream(pause time.Duration) outcome {
	switch {
	case o.verdict == putBack, o.verdict == requeued && !o.failed: // else the consumer stops or pauses
		o.verdict, o.pause = again, pause
	case o.verdict == rejected && o.failed: // somebody will want to see it
		o.verdict = parked
	case o.verdict == rejected:
		o.verdict = passedOver
	case o.verdict == delayed: // in place, since a copy would come back to the end of the stream
		o.verdict = again
	}
	return o
}
