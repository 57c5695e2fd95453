package past

import (
	"slices"
	"time"
)

// TimePoint is a time as somebody types it. Some forms mean a time only together with a log and a time zone.
type TimePoint struct {
	form timeForm
	wall time.Time     // of the forms with a date or a time of day; for all but exact, the zone is not known yet
	back time.Duration // of beforeEnd
}

type timeForm int

const (
	noTime    timeForm = iota
	exact              // 2026-11-22T03:14:00Z
	local              // 2026-11-22 03:14
	timeOfDay          // 03:14, of a day that depends on the log
	beforeEnd          // 2h before the log's end
)

// TimeForms says in errors and in the help what a TimePoint is.
const TimeForms = `a time such as 2026-11-22T03:14:00Z, "2026-11-22 03:14", 03:14 or 2h (before the log's end)`

// ParseTime returns false for what is no time.
func ParseTime(text string) (TimePoint, bool) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return TimePoint{form: exact, wall: t}, true
	}
	for layout, form := range map[string]timeForm{
		"2006-01-02 15:04:05": local, "2006-01-02 15:04": local, "2006-01-02T15:04:05": local, "2006-01-02T15:04": local,
		"15:04:05": timeOfDay, "15:04": timeOfDay,
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return TimePoint{form: form, wall: t}, true
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return TimePoint{form: beforeEnd, back: d}, true
	}
	return TimePoint{}, false
}

// Given tells whether there is one.
func (m TimePoint) Given() bool { return m.form != noTime }

// relative tells whether it depends on the log.
func (m TimePoint) relative() bool { return m.form == timeOfDay || m.form == beforeEnd }

// extent is the earliest and the latest time in a log, and when it is read.
type extent struct{ begin, end, now time.Time }

// in returns the time that is meant, of a log that ends at end: for a time of day the latest until then. Zero
// means none.
func (m TimePoint) in(end time.Time, zone *time.Location) time.Time {
	switch m.form {
	case exact:
		return m.wall
	case local:
		y, month, d := m.wall.Date()
		return m.at(y, month, d, zone)
	case timeOfDay:
		var latest time.Time
		for _, t := range m.around(end, zone) {
			if !t.After(end) {
				latest = t
			}
		}
		return latest
	case beforeEnd:
		return end.Add(-m.back)
	}
	return time.Time{}
}

// from returns the first time of day at or after since.
func (m TimePoint) from(since time.Time, zone *time.Location) time.Time {
	times := m.around(since, zone)
	return times[slices.IndexFunc(times, func(t time.Time) bool { return !t.Before(since) })]
}

// near returns a time of day that may be behind the log's end. Behind it can only be one of the log's last day:
// a log just ends too early for it. But one that the log has is meant rather than one long after its end, unless
// people speak of today.
func (m TimePoint) near(log extent, zone *time.Location) time.Time {
	before, behind := m.in(log.end, zone), m.from(log.end, zone)
	switch {
	case sameDay(before, log.end, zone):
		return before
	case before.Before(log.begin),
		behind.Sub(log.end) < log.end.Sub(before),
		sameDay(log.end, log.now, zone) && !behind.After(log.now):
		return behind
	}
	return before
}

func sameDay(a, b time.Time, zone *time.Location) bool {
	return a.In(zone).Format(time.DateOnly) == b.In(zone).Format(time.DateOnly)
}

// around returns, in order, when a clock shows the time of day, from two days before t to two days after it:
// twice on a day on which it is set back over it.
func (m TimePoint) around(t time.Time, zone *time.Location) []time.Time {
	var times []time.Time
	y, month, today := t.In(zone).Date()
	for d := today - 2; d <= today+2; d++ {
		one := m.at(y, month, d, zone)
		times = append(times, one)
		for _, days := range []int{-1, 1} {
			_, offset := one.Zone()
			_, other := one.AddDate(0, 0, days).Zone()
			again := one.Add(time.Duration(offset-other) * time.Second)
			if !again.Equal(one) && again.Format(time.TimeOnly) == m.wall.Format(time.TimeOnly) {
				times = append(times, again)
			}
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

// at is the time of day on that day.
func (m TimePoint) at(y int, month time.Month, d int, zone *time.Location) time.Time {
	w := m.wall
	return time.Date(y, month, d, w.Hour(), w.Minute(), w.Second(), w.Nanosecond(), zone)
}
