package health

import (
	"time"

	"github.com/everhop/everhop/consumer"
)

// For the tests of the external test package.

// NewServer shows what the function returns, but for its troubles, and not a consumer.
func NewServer(look func() Document, events *Events, options Options) *Server {
	return newServer(func() consumer.Status { return look().Status }, look, events, options)
}

// Troubles are those of a document, when the process stood still as long until then, or never, and the counts were
// before a while ago.
func Troubles(d *Document, stoodUntil time.Time, stood time.Duration, before []consumer.Stats) []Trouble {
	return troubles(d, stall{stoodUntil, stood}, before)
}

const (
	KeptEvents  = keptEvents
	NewestOnes  = newEvents
	MostReaders = mostReaders
	MostAtOnce  = mostAtOnce
	Patience    = patience
	KeepAlive   = keepAlive
)
