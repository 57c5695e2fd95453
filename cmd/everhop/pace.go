package main

import (
	"context"
	"regexp"
	"strconv"
	"time"
)

// pace lets one message after the other go, at equal distances.
type pace struct {
	every time.Duration // 0: at once
	next  time.Time     // when the next one is due
}

// late is how much of the time that was lost is made up for: timers are not exact, and more would be a burst.
const late = 10 * time.Millisecond

// wait returns ctx's error if that ends before the next message is due.
func (p *pace) wait(ctx context.Context) error {
	if p.every == 0 {
		return nil
	}
	now := time.Now()
	if p.next.IsZero() {
		p.next = now
	}
	if soonest := now.Add(-late); p.next.Before(soonest) {
		p.next = soonest
	}
	due := p.next.Sub(now)
	p.next = p.next.Add(p.every)
	if due <= 0 {
		return nil
	}
	timer := time.NewTimer(due)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var rated = regexp.MustCompile(`^([0-9]+)/([smh])$`)

// rate accepts how many messages to publish in a time, and keeps the distance between two.
func rate(every *time.Duration) value[time.Duration] {
	units := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}
	return value[time.Duration]{every, "N/s|N/m|N/h", "a number of messages per second, minute or hour, such as 1000/s, 90/m or 10/h",
		func(text string) (time.Duration, bool) {
			found := rated.FindStringSubmatch(text)
			if found == nil {
				return 0, false
			}
			n, err := strconv.ParseInt(found[1], 10, 64)
			if err != nil || n < 1 || n > int64(units[found[2]]) {
				return 0, false
			}
			return units[found[2]] / time.Duration(n), true
		}}
}
