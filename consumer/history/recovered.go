package history

import (
	"maps"
	"slices"
	"time"
)

// Recovered tells of the outages that ended with Consuming, for those who count them while they happen: how many by
// [Cause.Name], and how long each took, those apart whose beginning the log does not have. Neither ever shrinks: that of a
// process that stood still is among them as soon as no loss can be a part of it any more.
func (s *Summary) Recovered() (byCause map[string]int, took []time.Duration) {
	if s.now.stint.length > atOnce {
		s = s.Clone()
		s.settle()
	}
	return maps.Clone(s.totals.revivals), slices.Clone(s.totals.recoveries)
}
