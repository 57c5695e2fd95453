package glass

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/consumer/publish"
)

// level is how bad something is.
type level int

const (
	fine level = iota
	look       // it works, and somebody should look at it
	bad        // it does not work
)

// sign can be told without colours.
func (l level) sign() string { return [...]string{"ok", " !", "!!"}[l] }

// finding is something that is the matter.
type finding struct {
	level   level
	subject string // a queue, several, a connection; empty: the consumer
	text    string
}

const (
	// hungAfter is how long a handler may be at work until it is told, unless that is usual.
	hungAfter = time.Minute
	// unusual is how many times the 99th percentile that is.
	unusual = 10
	// unconfirmedAfter is how long a message may wait for its confirm.
	unconfirmedAfter = 30 * time.Second
	// named is how many queues are named where several have the same trouble.
	named = 3
)

// findings tells what is the matter, the worst first.
func findings(doc *health.Document) []finding {
	var found []finding
	for _, r := range doc.NotAlive {
		found = append(found, finding{bad, "", "NOT ALIVE: " + reason(r, doc.Time)})
	}
	for _, r := range doc.NotReady {
		if isOfAll(r) {
			found = append(found, finding{bad, "", reason(r, doc.Time)})
		}
	}
	for _, c := range doc.Connections {
		if l, text := ofConnection(c, doc.Time); l > fine {
			found = append(found, finding{l, "connection", text})
		}
	}
	if p := doc.Publisher; p != nil {
		if l, text := ofPublisher(p, doc.Time); l > fine {
			found = append(found, finding{l, "publisher", text})
		}
	}
	found = append(found, ofSubscriptions(doc)...)
	slices.SortStableFunc(found, func(a, b finding) int { return cmp.Compare(b.level, a.level) })
	return found
}

// isOfAll tells whether a reason is about the consumer, and nothing below says more of it.
func isOfAll(r consumer.Reason) bool {
	switch r.Code {
	case consumer.ReasonConnecting, consumer.ReasonReviving, consumer.ReasonPaused, consumer.ReasonBreaker, consumer.ReasonApart, consumer.ReasonGivenUp:
		return false
	}
	return true
}

func reason(r consumer.Reason, now time.Time) string {
	text := cmp.Or(r.Text, r.Code)
	if !r.Since.IsZero() {
		text += ", for " + past.Span(now.Sub(r.Since))
	}
	return text
}

// ofConnection tells how a connection is.
func ofConnection(c consumer.ConnectionStatus, now time.Time) (level, string) {
	queues := counted(c.Subscriptions, "queue")
	if !c.Open {
		text := "not there yet"
		if !c.Since.IsZero() {
			text = "LOST for " + past.Span(now.Sub(c.Since))
		}
		switch {
		case c.Attempt > 0 && !c.NextAttempt.IsZero():
			text += fmt.Sprintf(", attempt %d begins in %s", c.Attempt+1, past.Span(c.NextAttempt.Sub(now)))
		case c.Attempt > 0:
			text += fmt.Sprintf(", attempt %d is under way", c.Attempt+1)
		}
		if c.Endpoint != "" {
			text = c.Endpoint + ": " + text
		}
		return bad, text + ", " + queues + because(c.Error)
	}
	text := fmt.Sprintf("%s: open for %s, heard from %s ago, %s", c.Endpoint, past.Span(now.Sub(c.Since)), past.Span(c.Silence), queues)
	if !c.BlockedSince.IsZero() {
		return bad, text + ", BLOCKED by the broker for " + past.Span(now.Sub(c.BlockedSince)) + because(c.BlockedReason)
	}
	if c.Error != "" {
		return fine, text + "; before: " + c.Error
	}
	return fine, text
}

// ofPublisher tells how the consumer's publisher is.
func ofPublisher(p *publish.Status, now time.Time) (level, string) {
	text := fmt.Sprintf("%s for %s", p.State, past.Span(now.Sub(p.Since)))
	if p.Endpoint != "" {
		text += " at " + p.Endpoint
	}
	if p.Attempt > 0 {
		text += fmt.Sprintf(", %s failed", counted(p.Attempt, "attempt"))
	}
	l := fine
	switch p.State {
	case publish.Publishing:
	case publish.Blocked:
		l, text = bad, "BLOCKED by the broker"+strings.TrimPrefix(text, string(publish.Blocked))+because(p.BlockedReason)
	case publish.Disconnected: // it has ended, or is not needed yet
	default:
		l, text = bad, text+because(p.Error)
	}
	if n := p.Stats.Unconfirmed + p.Stats.Waiting; n > 0 {
		text += "; " + counted(n, "message") + waits(n) + " for a confirm"
		if waited := now.Sub(p.OldestUnconfirmed); !p.OldestUnconfirmed.IsZero() {
			text += ", the oldest for " + past.Span(waited)
			if waited > unconfirmedAfter {
				l = max(l, look)
			}
		}
	}
	return l, text
}

// ofSubscriptions tells what several have in common once.
func ofSubscriptions(doc *health.Document) []finding {
	type alike struct {
		level     level
		what, why string
	}
	queues := map[alike][]consumer.SubscriptionStatus{}
	var order []alike
	for _, s := range doc.Subscriptions {
		if waitsForConnection(doc, s) {
			continue
		}
		for _, one := range ofSubscription(s, doc.Time) {
			key := alike{one.level, one.subject, one.text}
			if queues[key] == nil {
				order = append(order, key)
			}
			queues[key] = append(queues[key], s)
		}
	}
	var found []finding
	for _, key := range order {
		since := time.Time{}
		for _, s := range queues[key] {
			if since.IsZero() || s.Since.Before(since) {
				since = s.Since
			}
		}
		text := key.what
		if strings.Contains(text, "%s") {
			text = fmt.Sprintf(text, past.Span(doc.Time.Sub(since)))
		}
		found = append(found, finding{key.level, names(queues[key], len(doc.Subscriptions)), text + because(key.why)})
	}
	return found
}

// waitsForConnection tells of a subscription that is not consumed because there is no connection, which is told.
func waitsForConnection(doc *health.Document, s consumer.SubscriptionStatus) bool {
	if s.Doing != consumer.DoingRevive {
		return false
	}
	for _, c := range doc.Connections {
		if c.Generation == s.Generation || c.Home && s.Apart == "" {
			return !c.Open
		}
	}
	return false
}

// ofSubscription tells what is the matter with one: in its subject, where %s is for how long, and why in its text.
func ofSubscription(s consumer.SubscriptionStatus, now time.Time) (found []finding) {
	add := func(l level, what, why string) { found = append(found, finding{l, what, why}) }
	why := s.Why
	if s.Apart != "" && s.Apart != s.Why {
		why = strings.TrimPrefix(why+"; on a connection of its own: "+s.Apart, "; ")
	}
	switch s.Doing {
	case consumer.DoingConsume:
		if s.Apart != "" {
			add(look, "consumed on a connection of its own", s.Apart)
		}
	case consumer.DoingPause:
		add(look, "PAUSED for %s", why)
	case consumer.DoingBreak:
		add(bad, "BREAKER OPEN for %s", why)
	case consumer.DoingRevive:
		add(bad, "NOT CONSUMED for %s", why)
	case consumer.DoingTry:
		add(bad, "GIVEN UP for %s, and tried now and then", why)
	case consumer.DoingStop, consumer.DoingNothing:
		if s.Why != "" {
			add(bad, "not consumed", why)
		}
	default: // of a newer Everhop
		add(bad, string(s.Doing)+" for %s", why)
	}
	if l, text := hung(s, now); l > fine {
		add(l, text, "")
	}
	if text := poison(s.Stats); text != "" {
		add(look, text, "")
	}
	return found
}

// hung tells of handlers that are at work for longer than usual.
func hung(s consumer.SubscriptionStatus, now time.Time) (level, string) {
	if s.OldestInFlight.IsZero() {
		return fine, ""
	}
	lasting := now.Sub(s.OldestInFlight)
	if lasting < hungAfter || lasting < unusual*s.Handling.P99 {
		return fine, ""
	}
	l, who := look, fmt.Sprintf("%d of %d handlers at work", s.InFlight, s.Concurrency)
	if s.InFlight >= s.Concurrency {
		l, who = bad, counted(s.Concurrency, "handler")+" at work"
		if s.Concurrency > 1 {
			who = "all " + who
		}
	}
	text := "HANDLER HANGS? " + past.Span(lasting) + " at work"
	if s.Concurrency > 1 {
		text = "HANDLER HANGS? " + who + ", one for " + past.Span(lasting)
	}
	if s.Handling.Calls > 0 {
		text += fmt.Sprintf(" (99 of 100 take %s)", past.Span(s.Handling.P99))
	}
	if l == bad && s.Waiting > 0 {
		text += "; " + counted(s.Waiting, "message") + waits(s.Waiting) + " behind it"
	}
	if idle := now.Sub(s.LastSettled); l == bad && !s.LastSettled.IsZero() {
		text += "; nothing done for " + past.Span(idle)
	}
	return l, text
}

// poison tells of messages that were given up.
func poison(n consumer.Stats) string {
	var parts []string
	if n.Parked > 0 {
		parts = append(parts, grouped(n.Parked)+" parked")
	}
	if n.Rejected > 0 {
		parts = append(parts, grouped(n.Rejected)+" rejected")
	}
	if len(parts) == 0 {
		return ""
	}
	return "POISON: " + strings.Join(parts, ", ") + ", beside " + grouped(n.Acknowledged) + " handled since the start"
}

// names are those of a few queues, and how many more there are of all.
func names(queues []consumer.SubscriptionStatus, all int) string {
	if len(queues) == all && all > named {
		return fmt.Sprintf("all %d queues", all)
	}
	var list []string
	for _, s := range queues {
		list = append(list, queueOf(s))
	}
	if more := len(list) - named; more > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:named], ", "), more)
	}
	return strings.Join(list, ", ")
}

func queueOf(s consumer.SubscriptionStatus) string {
	return cmp.Or(s.Queue, s.Named, "(a queue that the broker names)")
}

// levelOf is that of the sign in front of a queue.
func levelOf(doc *health.Document, s consumer.SubscriptionStatus) level {
	if waitsForConnection(doc, s) {
		return bad
	}
	worst := fine
	for _, f := range ofSubscription(s, doc.Time) {
		worst = max(worst, f.level)
	}
	return worst
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func waits(n int) string {
	if n == 1 {
		return " waits"
	}
	return " wait"
}
