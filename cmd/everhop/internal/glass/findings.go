package glass

import (
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
	note       // it is as somebody wants it, or will pass
	look       // somebody should look at it
	bad        // it does not work
)

// sign can be told without colours.
func (l level) sign() string { return [...]string{"ok", " -", " !", "!!"}[l] }

func levelOf(t health.Trouble) level {
	switch t.Level {
	case health.Note:
		return note
	case health.Warn:
		return look
	}
	return bad
}

const (
	// named is how many queues are named where several have the same trouble.
	named = 3
	// told is how many troubles are told; a table of the queues follows.
	told = 12
)

// finding is a trouble, of one queue or of several.
type finding struct {
	health.Trouble // the first one's
	queues         []string
}

// findings are the troubles of a document in their order, those that several queues have in common once.
func findings(doc *health.Document) (found []finding) {
	for _, t := range doc.Troubles {
		i := slices.IndexFunc(found, func(f finding) bool {
			return t.Queue != "" && f.Queue != "" && f.Level == t.Level && f.Word == t.Word && f.Text == t.Text
		})
		if i < 0 {
			found = append(found, finding{Trouble: t})
			i = len(found) - 1
		}
		if t.Queue != "" {
			found[i].queues = append(found[i].queues, t.Queue)
		}
	}
	return found
}

// words are those of a finding among so many queues.
func (f finding) words(now time.Time, all int) string {
	text := names(f.queues, all) + strings.ToUpper(f.Word)
	text += lasting(f.Since, now) + because(f.Text)
	if next := tried(f.Attempt, f.NextAttempt, now); next != "" {
		text += "; " + next
	}
	return text
}

// tried tells of the attempts to end something.
func tried(attempt int, next, now time.Time) string {
	switch {
	case attempt > 0 && !next.IsZero():
		return fmt.Sprintf("attempt %d begins in %s", attempt+1, past.Span(next.Sub(now)))
	case attempt > 0:
		return fmt.Sprintf("attempt %d", attempt)
	case !next.IsZero():
		return "tried again in " + past.Span(next.Sub(now))
	}
	return ""
}

// names are those of a few queues, and how many more there are.
func names(queues []string, all int) string {
	switch more := len(queues) - named; {
	case len(queues) == 0:
		return ""
	case len(queues) == all && all > named:
		return fmt.Sprintf("all %d queues: ", all)
	case more > 1:
		return fmt.Sprintf("%s and %d more: ", strings.Join(queues[:named], ", "), more)
	}
	return strings.Join(queues, ", ") + ": "
}

// levelsOf are the worst troubles of each queue.
func levelsOf(doc *health.Document) map[string]level {
	worst := map[string]level{}
	for _, t := range doc.Troubles {
		worst[t.Queue] = max(worst[t.Queue], levelOf(t))
	}
	return worst
}

// levelOfRow is that of the sign in front of a queue: it is bad, too, if what keeps it from being consumed is told of the
// consumer as a whole.
func levelOfRow(s consumer.SubscriptionStatus, troubles map[string]level) level {
	switch s.Doing {
	case consumer.DoingRevive, consumer.DoingTry, consumer.DoingBreak:
		return bad
	}
	return troubles[queueOf(s)]
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// ofConnection tells how a connection is.
func ofConnection(c consumer.ConnectionStatus, now time.Time) (level, string) {
	queues := counted(c.Subscriptions, "queue")
	if !c.Open {
		text := "not there" + lasting(c.Since, now)
		if next := tried(c.Attempt, c.NextAttempt, now); next != "" {
			text += ", " + next
		}
		return bad, text + ", " + queues + because(c.Error)
	}
	text := fmt.Sprintf("%s open%s, heard from %s ago, %s", c.Endpoint, lasting(c.Since, now), past.Span(c.Silence), queues)
	if !c.BlockedSince.IsZero() {
		return look, text + ", blocked by the broker" + lasting(c.BlockedSince, now) + because(c.BlockedReason)
	}
	return fine, text + because(c.Error)
}

// ofPublisher tells how the consumer's publisher is.
func ofPublisher(p *publish.Status, now time.Time) (level, string) {
	text := string(p.State) + lasting(p.Since, now)
	if p.Endpoint != "" {
		text = p.Endpoint + " " + text
	}
	if p.Attempt > 0 {
		text += fmt.Sprintf(", attempt %d", p.Attempt)
	}
	text += ", " + grouped(p.Stats.Confirmed) + " confirmed"
	if n := p.Stats.Unroutable + p.Stats.Refused; n > 0 {
		text += ", " + grouped(n) + " refused or unroutable"
	}
	if n := p.Stats.Unconfirmed + p.Stats.Waiting; n > 0 {
		text += ", " + grouped(uint64(n)) + " not yet"
		if !p.OldestUnconfirmed.IsZero() {
			text += ", the oldest for " + past.Span(now.Sub(p.OldestUnconfirmed))
		}
	}
	l := bad
	switch p.State {
	case publish.Publishing:
		l = fine
	case publish.Disconnected, publish.Connecting: // it has ended, or is about to be used
		l = note
	}
	return l, text + because(p.BlockedReason) + because(p.Error)
}
