package revival

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	b := Backoff{Initial: 100 * time.Millisecond, Max: time.Second}
	for failures, bound := range []time.Duration{0, 100, 200, 400, 800, 1000, 1000} {
		bound *= time.Millisecond
		var most time.Duration
		for range 2000 {
			d := b.Delay(failures)
			if d < 0 || d > bound {
				t.Fatalf("after %d failures: %v, want at most %v", failures, d, bound)
			}
			most = max(most, d)
		}
		if most < bound*9/10 {
			t.Errorf("after %d failures the delay never came near %v, only to %v", failures, bound, most)
		}
	}
	for _, initial := range []time.Duration{1, time.Millisecond, 5 * time.Second, time.Hour} {
		for failures := range 1000 {
			if d := (Backoff{Initial: initial, Max: time.Hour}).Delay(failures); d < 0 || d > time.Hour {
				t.Fatalf("Initial %v, after %d failures: %v", initial, failures, d)
			}
		}
	}
}
