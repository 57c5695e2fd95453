package main

import (
	"time"
)

// timePoint is a time as somebody types it. Some forms mean a time only together with a log and a time zone.
type timePoint struct {
	form timeForm
	wall time.Time     // of the forms with a date or a time of day; for all but exact, the zone is not known yet
	back time.Duration // of beforeEnd
}

type timeForm int

const (
	noTime    timeForm = iota
	exact              // 2026-11-22T03:14:00Z
	local              // 2026-11-22 03:14
	timeOfDay          // 03:14, the most recent one in the log
	beforeEnd          // 2h before the log's end
)

// timeText says in errors and in the help what a timePoint is.
const timeText = `a time such as 2026-11-22T03:14:00Z, "2026-11-22 03:14", 03:14 or 2h (before the log's end)`

func parseTime(text string) (timePoint, bool) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return timePoint{form: exact, wall: t}, true
	}
	for layout, form := range map[string]timeForm{
		"2006-01-02 15:04:05": local, "2006-01-02 15:04": local, "2006-01-02T15:04:05": local, "2006-01-02T15:04": local,
		"15:04:05": timeOfDay, "15:04": timeOfDay,
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return timePoint{form: form, wall: t}, true
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return timePoint{form: beforeEnd, back: d}, true
	}
	return timePoint{}, false
}

// given tells whether there is one.
func (m timePoint) given() bool { return m.form != noTime }

// relative tells whether it depends on where the log ends.
func (m timePoint) relative() bool { return m.form == timeOfDay || m.form == beforeEnd }

// in returns the time that is meant, of a log that ends at end. Zero means none.
func (m timePoint) in(end time.Time, zone *time.Location) time.Time {
	switch m.form {
	case exact:
		return m.wall
	case local:
		y, month, d := m.wall.Date()
		return m.at(y, month, d, zone)
	case timeOfDay:
		y, month, d := end.In(zone).Date()
		t := m.at(y, month, d, zone)
		if t.After(end) {
			t = m.at(y, month, d-1, zone)
		}
		return t
	case beforeEnd:
		return end.Add(-m.back)
	}
	return time.Time{}
}

// at is the time of day on that day.
func (m timePoint) at(y int, month time.Month, d int, zone *time.Location) time.Time {
	w := m.wall
	return time.Date(y, month, d, w.Hour(), w.Minute(), w.Second(), w.Nanosecond(), zone)
}
