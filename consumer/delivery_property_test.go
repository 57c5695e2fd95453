package consumer

import (
	"testing"

	"pgregory.net/rapid"
)

// These tests play random histories of one dispatcher, in synthetic time, against a model of RabbitMQ
// that holds every settlement against what the handler had said by then.

func TestDeliveries(t *testing.T) {
	t.Parallel()
	for name, traits := range map[string]traits{
		"in any order": {},
		"by key":       {keyed: true},
		"Commit":       {commit: true},
		"Suppress":     {suppress: true},
		"outbox":       {outbox: true},
		"Breaker":      {breaker: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tries := 1
			checkMany(t, 170, func(r *rapid.T) {
				p := drawPlan(r, traits)
				for range tries {
					rapid.SyncTest(r, func(r *rapid.T) {
						h := playHistory(p)
						if len(h.wrong) == 0 {
							return
						}
						if tries == 1 {
							t.Logf("first seen in:\n%s", h.story())
						}
						tries = 20 // the scheduler is not drawn, and may have had a part in it
						r.Logf("minimized:\n%s", h.story())
						r.Fatal(h.wrong[0])
					})
				}
			})
		})
	}
}
