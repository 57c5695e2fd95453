package past

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// styles of the states.
var styles = map[fsm.State]term.Style{
	consumer.Disconnected:   term.Grey,
	consumer.Connecting:     term.Cyan,
	consumer.Consuming:      term.Green,
	consumer.HeartbeatCheck: term.Yellow,
	consumer.Reviving:       term.Red,
	publish.Publishing:      term.Green,
	publish.Blocked:         term.Yellow,
}

// StyleOf is how a state is painted, here and in the demo.
func StyleOf(state fsm.State) term.Style { return styles[state] }

// Span is a duration, as exact as anybody cares: two units at most.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(unit time.Duration, name string, small time.Duration, smallName string) string {
		d := d.Round(small)
		if d%unit == 0 {
			return fmt.Sprintf("%d%s", d/unit, name)
		}
		return fmt.Sprintf("%d%s %d%s", d/unit, name, d%unit/small, smallName)
	}
	switch {
	case d <= 0:
		return "0 s"
	case d < time.Millisecond:
		return "<1 ms"
	case d < 995*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	case d < 59950*time.Millisecond:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d.Round(time.Second) < time.Hour:
		return two(time.Minute, "m", time.Second, "s")
	case d.Round(time.Minute) < day:
		return two(time.Hour, "h", time.Minute, "m")
	}
	return two(day, "d", time.Hour, "h")
}

// grouped is a number with commas.
func grouped[T int | uint64](n T) string {
	digits := strconv.FormatUint(uint64(n), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// counted is "1 run", "2 runs".
func counted[T int | uint64](n T, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + one + "s"
}

// percent never rounds to 100 what is less.
func percent(share float64) string {
	text := fmt.Sprintf("%.3f %%", share*100)
	if share < 1 && strings.HasPrefix(text, "100") {
		return "99.999 %"
	}
	return text
}

func share(part, of time.Duration) string {
	if of <= 0 {
		return ""
	}
	return fmt.Sprintf("%5.1f %%", 100*float64(part)/float64(of))
}

// reason is what an event knows of its cause, with what only a publisher says: to where the message is that it is
// about, and how many are sent again.
func reason(e fsm.Event) string {
	evidence, sent := consumer.EvidenceOf(e), publish.EvidenceOf(e)
	var to string
	switch {
	case sent.Exchange != "" && sent.RoutingKey != "":
		to = "exchange " + sent.Exchange + ", routing key " + sent.RoutingKey
	case sent.Exchange != "":
		to = "exchange " + sent.Exchange
	case sent.RoutingKey != "": // by the default exchange
		to = "queue " + sent.RoutingKey
	}
	text := why(evidence, to)
	if sent.Resent > 0 {
		text = join(text, counted(sent.Resent, "message")+" to send again")
	}
	return text
}

// why is a cause: "network: read: connection reset by peer (mq1:5672, queue orders)". More is about where it was.
func why(e consumer.Evidence, more ...string) string {
	cause := e.Class
	if code := strconv.Itoa(e.Code); e.Code != 0 && !strings.Contains(e.Error, code) {
		cause = strings.TrimSpace(cause + " " + code)
	}
	if e.Error != "" {
		if cause != "" {
			cause += ": "
		}
		cause += e.Error
	}
	places := []string{e.Endpoint}
	if e.Queue != "" {
		places = append(places, "queue "+e.Queue)
	}
	places = slices.DeleteFunc(append(places, more...), func(place string) bool { return place == "" })
	where := strings.Join(places, ", ")
	if cause != "" && where != "" {
		where = " (" + where + ")"
	}
	return join(cause+where, e.Note)
}

// join puts two remarks into one.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// causeText is why an outage began.
func causeText(c history.Cause) string {
	if c.Class == history.Stalled {
		return "the process stood still"
	}
	if c.Class == "" && c.Error == "" {
		switch c.Trigger {
		case consumer.ProcessRestarted:
			return "the run ended without Stop"
		case publish.ConnectionBlocked:
			return strings.TrimSuffix("an alarm of the broker, "+c.Endpoint, ", ")
		case "":
			return "the cause is not in the log"
		}
	}
	text := why(consumer.Evidence{Class: c.Class, Code: c.Code, Error: c.Error, Endpoint: c.Endpoint, Queue: c.Queue})
	return strings.TrimSuffix(string(c.Trigger)+", "+text, ", ")
}
