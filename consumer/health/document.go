package health

import (
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
	// Version of Everhop.
	Version string `json:"version"`
}
