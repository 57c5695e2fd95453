package glass

import (
	"cmp"
	"strconv"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
)

// grouped is a number with commas.
func grouped(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// counted is "1 queue", "2 queues".
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(uint64(max(0, n))) + " " + one + "s"
}

// lasting is " for" how long, if that is known.
func lasting(since, now time.Time) string {
	if since.IsZero() {
		return ""
	}
	return " for " + past.Span(now.Sub(since))
}

// clock is a time of day, with the day if that is another one than that of now.
func clock(t, now time.Time, zone *time.Location) string {
	t, now = t.In(zone), now.In(zone)
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// shorten leaves out the middle: names of queues differ at their end more often than at their begin.
func shorten(name string, width int) string {
	letters := []rune(name)
	if len(letters) <= width || width < 4 {
		return term.Cut(name, width)
	}
	begin := (width - 1) / 3
	return string(letters[:begin]) + "…" + string(letters[len(letters)-(width-1-begin):])
}

// settled is how many messages are done with.
func settled(s consumer.Stats) uint64 {
	return s.Acknowledged + s.Rejected + s.Delayed + s.Parked + s.Saved
}

// queueOf is the name by which troubles tell of it.
func queueOf(s consumer.SubscriptionStatus) string {
	return cmp.Or(s.Queue, s.Named, "(not named yet)")
}
