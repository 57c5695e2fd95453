package versions

import "testing"

func TestHas(t *testing.T) {
	for _, test := range []struct {
		version string
		feature Feature
		want    bool
	}{
		{"3.10", NackCounts, true},
		{"3.10.8", DefaultLimit, false},
		{"3.13.7", DefaultLimit, false},
		{"4.0.0", DefaultLimit, true},
		{"4.2.9", NackCounts, true},
		{"4.3", NackCounts, false},
		{"4.3.0-rc.1", NackCounts, false},
		{"4.10.1", NackCounts, false}, // a number, and not a text
		{"4.0.5", LargeFrames, false},
		{"4.1.0", LargeFrames, true},
		{"5.0", DefaultLimit, true},
		{"unknown", NackCounts, false}, // as the newest
	} {
		if got := Has(test.version, test.feature); got != test.want {
			t.Errorf("%s: %s: %t", test.version, test.feature, got)
		}
	}
}

// A feature without a span would be there always.
func TestEveryFeatureHasASpan(t *testing.T) {
	for feature, span := range spans {
		if span.since == span.until {
			t.Errorf("%s: is in all versions, or in none", feature)
		}
		seen := map[bool]bool{}
		for _, version := range Tested {
			seen[Has(version, feature)] = true
		}
		if len(seen) != 2 {
			t.Errorf("%s: no tested version differs", feature)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a feature that is nowhere was answered for")
		}
	}()
	Has("4.0", "nonsense")
}
