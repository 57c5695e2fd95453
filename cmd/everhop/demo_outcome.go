package main

import (
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// incident is a fault that was played.
type incident struct {
	fault string // its name
	began time.Duration
	ended time.Duration // the outage; absent if there was none
}

const (
	// absent stands for what did not happen.
	absent = time.Duration(-1)
	// forever is later than everything.
	forever = time.Duration(1<<63 - 1)
)

// outcome is what came of an incident. The times count from when it began, or are absent.
type outcome struct {
	incident
	noticed     time.Duration // Everhop was in Reviving
	handled     time.Duration // the first call of a handler after the revival
	redelivered int
}

// sinceReturn is the part of handled that is not the outage's.
func (o outcome) sinceReturn() time.Duration {
	if o.handled == absent {
		return absent
	}
	return max(0, o.began+o.handled-o.ended)
}

// outcome looks up what came of an incident until the next one.
func (h *history) outcome(i incident, until time.Duration) outcome {
	o := outcome{incident: i, noticed: absent, handled: absent}
	revived := absent
	for _, e := range h.events {
		if e.Kind != fsm.KindTransition || e.at < i.began || e.at >= until {
			continue
		}
		if o.noticed == absent && e.To == consumer.Reviving {
			o.noticed = e.at - i.began
		}
		if revived == absent && e.Trigger == consumer.Revived {
			revived = e.at
		}
	}
	for _, c := range h.calls {
		if c.began < i.began || c.began >= until {
			continue
		}
		if o.handled == absent && revived != absent && c.began >= revived {
			o.handled = c.began - i.began
		}
		if c.redelivered {
			o.redelivered++
		}
	}
	return o
}

// outcomes are those of all incidents, in their order.
func (h *history) outcomes(incidents []incident) []outcome {
	all := make([]outcome, len(incidents))
	for i, incident := range incidents {
		until := forever
		if i+1 < len(incidents) {
			until = incidents[i+1].began
		}
		all[i] = h.outcome(incident, until)
	}
	return all
}
