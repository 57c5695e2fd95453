package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/everhop/everhop/consumer"
)

// The defaults of consume have a command that fails tried again for a minute at least, whatever the chance in its
// pauses: what it depends on may be away for so long, and no message is parked.
const defaultAttempts = 8

var defaultBackoff = backoffFlag{Initial: time.Second, Max: time.Minute}

// longestPause is the most that package consumer takes.
const longestPause = 24 * time.Hour

// backoffFlag is --backoff.
type backoffFlag consumer.Backoff

func (b backoffFlag) String() string { return short(b.Initial) + ":" + short(b.Max) }

func backoff(target *backoffFlag) value[backoffFlag] {
	return value[backoffFlag]{target, "FIRST:MAX", "one duration, or two such as 1s:1m, of which the second is not less; between 1ms and 24h",
		func(text string) (b backoffFlag, ok bool) {
			first, most, both := strings.Cut(text, ":")
			if !both {
				most = first
			}
			b.Initial, ok = pauseOf(first)
			if !ok {
				return b, false
			}
			b.Max, ok = pauseOf(most)
			return b, ok && b.Initial <= b.Max
		}}
}

// breakerFlag is --breaker.
type breakerFlag consumer.Breaker

func (b breakerFlag) String() string { return fmt.Sprintf("%d:%s", b.Failures, short(b.Pause)) }

func breaker(target *breakerFlag) value[breakerFlag] {
	return value[breakerFlag]{target, "N:PAUSE", "a number of failures and a pause between 1ms and 24h, such as 100:30s",
		func(text string) (b breakerFlag, ok bool) {
			failures, pause, _ := strings.Cut(text, ":")
			n, err := strconv.Atoi(failures)
			if err != nil || n < 1 {
				return b, false
			}
			b.Failures = n
			b.Pause, ok = pauseOf(pause)
			return b, ok
		}}
}

func pauseOf(text string) (time.Duration, bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= time.Millisecond && d <= longestPause
}

// short is a duration without what is zero: 1m, not 1m0s.
func short(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
