package health

import (
	"github.com/everhop/everhop/consumer"
)

// For the tests of the external test package.

// NewServer shows what the function returns, but for its troubles, and not a consumer.
func NewServer(look func() Document, events *Events, options Options) *Server {
	return newServer(func() consumer.Status { return look().Status }, look, events, options)
}

// Troubles are those of a document, if the counts were those of another one a while ago, and a queue's poison has been why.
func Troubles(d *Document, before Document, why map[string]string) []Trouble {
	was := map[string]earlier{}
	for _, s := range before.Subscriptions {
		e := was[s.Queue]
		e.stats.Add(s.Stats)
		e.poison = why[s.Queue]
		was[s.Queue] = e
	}
	return troubles(d, was)
}

const (
	KeptEvents  = keptEvents
	MostReaders = mostReaders
	Patience    = patience
	KeepAlive   = keepAlive
	KeptSpans   = keptSpans
	KeptOutages = keptOutages
)
