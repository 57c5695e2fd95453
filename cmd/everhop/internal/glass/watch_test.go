package glass

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer/health"
)

// Rates are those between two looks at the same process.
func TestRates(t *testing.T) {
	at := func(seconds int, counts ...uint64) *health.Document {
		doc := document(t, "frozen", well).Doc
		doc.Time = doc.Time.Add(time.Duration(seconds) * time.Second)
		doc.Subscriptions = doc.Subscriptions[:len(counts)]
		for i, n := range counts {
			doc.Subscriptions[i].Stats.Acknowledged, doc.Subscriptions[i].Stats.Parked = n, n
		}
		return doc
	}
	tests := []struct {
		name          string
		before, after *health.Document
		want          []float64
	}{
		{"it settles", at(0, 10, 20), at(2, 15, 20), []float64{5, 0}},
		{"no time has passed", at(2, 10), at(2, 15), nil},
		{"it was started again", at(0, 10, 20), at(2, 3, 21), nil},
		{"it has other queues", at(0, 10, 20), at(2, 10), nil},
	}
	for _, tt := range tests {
		w := &watch{looks: make([]Look, 1)}
		w.take(seen{0, Look{Doc: tt.before}})
		w.take(seen{0, Look{Doc: tt.after}})
		if got := w.looks[0].rates; !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Who does not answer any more is told of with what was seen last, however long that lasts.
func TestLastAnswer(t *testing.T) {
	w := &watch{looks: make([]Look, 1)}
	w.take(seen{0, document(t, "poison")})
	for range 3 {
		w.take(seen{0, Look{Address: "h:1", Err: errors.New("no answer within 5s")}})
	}
	got := text(page{zone: time.UTC}.lines(w.looks))
	if want := "!! h:1 DOES NOT ANSWER: no answer within 5s; shop answered at 03:14:00, and was Consuming\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	w.take(seen{0, document(t, "poison")})
	if got := text(page{zone: time.UTC}.lines(w.looks)); strings.Contains(got, "DOES NOT ANSWER") || w.looks[0].rates != nil {
		t.Errorf("%s, %v", got, w.looks[0].rates)
	}
}

func TestPerSecond(t *testing.T) {
	for rate, want := range map[float64]string{0: "0", 0.04: "0.0", 9.94: "9.9", 9.96: "10", 12345.6: "12,346"} {
		if got := perSecond(rate); got != want {
			t.Errorf("%v: %s, want %s", rate, got, want)
		}
	}
}
