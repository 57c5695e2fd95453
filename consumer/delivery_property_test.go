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
		"Dedup":        {dedup: true},
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

// checkMany checks a property in so many times rapid's number of histories, which is 100 unless
// -rapid.checks says otherwise; in a tenth of that with -short, and with the race detector, which keeps
// 40 kB for each bubble of synthetic time that ever was.
func checkMany(t *testing.T, times int, property func(*rapid.T)) {
	t.Helper()
	if testing.Short() || raceDetector {
		times = max(1, times/10)
	}
	for range times {
		rapid.Check(t, property)
	}
}
