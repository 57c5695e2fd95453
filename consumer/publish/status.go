package publish

import (
	"time"

	"github.com/everhop/everhop/fsm"
)

// Status is what a publisher does at one moment.
type Status struct {
	Name string `json:"name"`
	// Time is when it was looked at.
	Time time.Time `json:"time"`
	// State is where the publisher is in its Lifecycle, and Since when it came there.
	State fsm.State `json:"state"`
	Since time.Time `json:"since"`
	// Endpoint is host:port; empty while there is no connection. Generation counts the connections of a run.
	Endpoint   string `json:"endpoint,omitempty"`
	Generation uint64 `json:"generation"`
	// Silence is for how long nothing has come in; 0 if there is no connection.
	Silence time.Duration `json:"silence_ns"`
	// BlockedReason are the broker's words with connection.blocked.
	BlockedReason string `json:"blocked_reason,omitempty"`
	// Attempt counts the attempts since the connection was lost; Error is how the last one failed, or why it was lost.
	Attempt int    `json:"attempt,omitempty"`
	Error   string `json:"error,omitempty"`
	// OldestUnconfirmed is when the oldest message that awaits its confirm was given to it; zero if there is none.
	OldestUnconfirmed time.Time `json:"oldest_unconfirmed,omitzero"`
	Stats             Stats     `json:"stats"`
}

// Status never blocks for long.
func (p *Publisher) Status() Status {
	return Status{Name: p.config.Name, Time: time.Now(), State: p.machine.State(), Stats: p.Stats()}
}
