package main

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/everhop/everhop/consumer"
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

// paced lets handle be called no faster than one call after every; it is of --max-rate. What waits for its turn when ctx
// ends goes back untried.
func paced(ctx context.Context, every time.Duration, handle consumer.Handler) consumer.Handler {
	turn := make(chan *pace, 1)
	turn <- &pace{every: every}
	return func(handling context.Context, d *consumer.Delivery) error {
		select {
		case p := <-turn:
			err := p.wait(ctx)
			turn <- p
			if err != nil {
				return errNotItsTurn
			}
		case <-ctx.Done():
			return errNotItsTurn
		}
		return handle(handling, d)
	}
}

var errNotItsTurn = fmt.Errorf("stopped before its turn by --max-rate: %w", consumer.Requeue)

// maxRate accepts what rate does, and a number alone, which is by the second.
func maxRate(every *time.Duration) value[time.Duration] {
	v := rate(every)
	v.kind, v.want = "N[/s|/m|/h]", "a number of messages per second, or per minute or hour, such as 1000, 90/m or 10/h"
	byUnit := v.parse
	v.parse = func(text string) (time.Duration, bool) {
		if !strings.Contains(text, "/") {
			text += "/s"
		}
		return byUnit(text)
	}
	return v
}

// paceAhead is how many messages are taken ahead at a pace: those of two seconds. More would keep others from them.
func paceAhead(every time.Duration) int { return int(min(math.MaxUint16, 2+2*time.Second/every)) }
