package health

import (
	"github.com/everhop/everhop/consumer"
)

// For the tests of the external test package.

// NewServer shows what the function returns, but for its troubles, and not a consumer.
func NewServer(look func() Document, events *Events, options Options) *Server {
	return newServer(func() consumer.Status { return look().Status }, look, events, options)
}

// Troubles are those of a document, when the counts were before a while ago.
func Troubles(d *Document, before []consumer.Stats) []Trouble { return troubles(d, before) }

const (
	KeptEvents  = keptEvents
	MostReaders = mostReaders
	Patience    = patience
	KeepAlive   = keepAlive
	KeptSpans   = keptSpans
	KeptOutages = keptOutages
)
