package ack

// mostPerFrame bounds how many deliveries share an acknowledgement. More gain nothing that can be measured,
// and come again if the connection is lost.
const mostPerFrame = 64

// limits are how much is gathered before it is sent: deliveries in a row, which share a frame, and strays, which
// do not.
//
// What waits to be acknowledged is missing in the prefetch, and so are the deliveries that handlers are at work
// on; the broker can only fill the rest. Hence both limits are shares of what is left when the handlers have
// theirs, the free places: where slow handlers hold nearly all of the prefetch, each acknowledgement goes at
// once, and the more of it is free, the more can wait without being missed.
type limits struct{ run, strays int }

// limitsOf is for so many free places. Strays may come to be in a row, if what is in their way is about to
// finish; not if it is slow.
func limitsOf(free int, slow bool) limits {
	strays := free / 4
	if slow {
		strays = free / 16
	}
	return limits{run: int(runs[max(0, min(free, len(runs)-1))]), strays: max(1, strays)}
}

// runs are the limits of a run, by the number of free places: a quarter of them, or somewhat less, so that at most
// a twentieth is left over when the places are divided by it. What is left over waits, each time that the broker
// has filled all places, until it has filled them again.
var runs = func() (runs [20*mostPerFrame + 1]uint8) {
	const mostShare, leftOver = 4, 20
	for free := range runs {
		run := max(1, min(mostPerFrame, free/mostShare))
		for free%run > free/leftOver {
			run--
		}
		runs[free] = uint8(run)
	}
	return runs
}()
