package health_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/fsm"
)

// history is what the test reads of /history.
type history struct {
	Seq   uint64 `json:"seq"`
	Spans []struct {
		Begin time.Time `json:"begin"`
		Kind  string    `json:"kind"`
	} `json:"spans"`
	Outages []struct {
		Begin, End time.Time
		DurationMS int64  `json:"duration_ms"`
		Class      string `json:"class"`
		Attempts   int    `json:"attempts"`
	} `json:"outages"`
	OutageCount int `json:"outage_count"`
	States      []struct {
		Name   fsm.State `json:"name"`
		Visits uint64    `json:"visits"`
	} `json:"states"`
	Edges []struct {
		From, To fsm.State
		Trigger  fsm.Trigger
		Count    uint64
		P50MS    int64 `json:"p50_ms"`
		Failure  bool
	} `json:"edges"`
}

func historyOf(t *testing.T, events *health.Events) (h history) {
	t.Helper()
	w := get(health.NewServer(fixed(made(morning, 1)), events, health.Options{}), "/history")
	if err := json.Unmarshal(w.Body.Bytes(), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h history) kinds() string {
	var kinds []string
	for _, s := range h.Spans {
		kinds = append(kinds, s.Kind)
	}
	return strings.Join(kinds, " ")
}

func TestHistory(t *testing.T) {
	if h := historyOf(t, health.NewEvents()); h.Spans == nil || h.Outages == nil || len(h.States) != 5 || len(h.Edges) == 0 {
		t.Errorf("before anything has happened: %+v", h)
	}
	events, n := nightOf(t, morning)
	n.note(consumer.NoteStalled, consumer.Evidence{StalledMS: 42_000})
	h := historyOf(t, events)
	if got, want := h.kinds(), "stopped down up down up down up down up"; got != want {
		t.Errorf("the spans are %s, want %s", got, want)
	}
	var outages []string
	for _, o := range h.Outages {
		outages = append(outages, fmt.Sprint(o.Class, " ", o.DurationMS/1000, " s, ", o.Attempts))
		if lasted := o.End.Sub(o.Begin).Milliseconds(); lasted != o.DurationMS {
			t.Errorf("%s: from %v to %v are %d ms, and it lasted %d", o.Class, o.Begin, o.End, lasted, o.DurationMS)
		}
	}
	if got, want := strings.Join(outages, "; "), "broker_shutdown 105 s, 13; heartbeat 10 s, 7; cancelled 0 s, 2; stalled 42 s, 0"; got != want {
		t.Errorf("the outages are %s, want %s", got, want)
	}
	for _, e := range h.Edges {
		var want uint64
		switch e.Trigger {
		case consumer.ReviveFailed:
			want = 12 + 6 + 1
		case consumer.HeartbeatFailed:
			want = 1
		case consumer.Revived:
			want = 3
		default:
			continue
		}
		if e.Count != want || e.Failure != (e.Trigger != consumer.Revived) {
			t.Errorf("%s from %s: %+v, want %d times", e.Trigger, e.From, e, want)
		}
	}
	if h.Seq != n.last.Seq {
		t.Errorf("it is of event %d, want %d", h.Seq, n.last.Seq)
	}

	// However long it flaps, what is remembered does not grow, and nothing is counted less.
	const flaps = 3000
	for range flaps {
		n.clock = n.clock.Add(10 * time.Second)
		n.fire(consumer.ConnectionError, consumer.Evidence{Class: "network"})
		n.revive(0, consumer.Evidence{})
	}
	h = historyOf(t, events)
	if len(h.Spans) != health.KeptSpans || len(h.Outages) != health.KeptOutages || h.OutageCount != flaps+4 {
		t.Errorf("%d spans, %d outages of %d; want %d, %d, %d", len(h.Spans), len(h.Outages), h.OutageCount, health.KeptSpans, health.KeptOutages, flaps+4)
	}
}
