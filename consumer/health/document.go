package health

import (
	_ "embed"
	"slices"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
)

// Document is what /status answers, in JSON. document.schema.json describes it.
type Document struct {
	consumer.Status
	Ready         bool                          `json:"ready"`
	Alive         bool                          `json:"alive"`
	Subscriptions []consumer.SubscriptionStatus `json:"subscriptions"`
	// Publisher is the consumer's own, once it is used.
	Publisher *publish.Status `json:"publisher,omitempty"`
	// Troubles say in words what is the matter, the worst first.
	Troubles []Trouble `json:"troubles"`
	// Version of Everhop.
	Version string `json:"version"`
}

// schema describes a Document, as JSON Schema 2020-12.
//
//go:embed document.schema.json
var schema []byte

// documentOf returns the document of a consumer, but for its troubles.
func documentOf(c *consumer.Consumer) Document {
	status := c.Status()
	d := Document{
		Status: status, Ready: status.Ready(), Alive: status.Alive(), Version: broker.Version(),
		Subscriptions: slices.Collect(status.Subscriptions()), Troubles: []Trouble{},
	}
	if d.Subscriptions == nil {
		d.Subscriptions = []consumer.SubscriptionStatus{}
	}
	if d.Connections == nil {
		d.Connections = []consumer.ConnectionStatus{}
	}
	if p, ok := c.PublisherStatus(); ok {
		d.Publisher = &p
	}
	return d
}
