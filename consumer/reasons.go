package consumer

import (
	"fmt"
	"time"

	"github.com/everhop/everhop/fsm"
)

// notReady is why not everything is consumed.
func (b *board) notReady(state fsm.State, since *entered, is *shown) []Reason {
	all := func(code, text string, since time.Time) []Reason {
		return []Reason{{Code: code, Text: text, Since: since}}
	}
	result, started, stopping := b.result.Load(), b.started.Load(), b.isStopping()
	switch {
	case result != nil && result.err != nil:
		return all(ReasonStopped, "Run has returned an error", result.at)
	case result != nil:
		return all(ReasonStopped, "Run has returned", result.at)
	case !started && stopping:
		return all(ReasonStopped, "Stop was called before Run", b.timeOf(b.stopping.stamp.Load()))
	case !started:
		return all(ReasonNotStarted, "Run was not called", b.epoch)
	case stopping:
		return all(ReasonStopping, "nothing more is taken; handlers may finish within GracePeriod", b.timeOf(b.stopping.stamp.Load()))
	case state == Disconnected && since.seq > 0: // it has given up just now
		return all(ReasonStopping, "it has given up", since.since)
	}
	var list []Reason
	switch missing := &is.groups.missing; {
	case state == Connecting, state == Disconnected:
		list = append(list, is.incomplete(ReasonConnecting, "not everything is consumed yet", since.since))
	case state == Reviving, missing.queues > 0:
		list = append(list, is.incomplete(ReasonReviving, "not everything is consumed", since.since))
	}
	return append(list, is.groups.reasons()...)
}

// incomplete is the reason for a state in which something on the shared connection is missing.
func (is *shown) incomplete(code, text string, since time.Time) Reason {
	r := Reason{Code: code, Text: text, Since: since}
	for i := range is.connections {
		if f := &is.connections[i]; f.home {
			if f.trouble.text != "" {
				r.Text += ": " + f.trouble.text
			}
			if g := &is.groups.missing; g.queues > 0 && f.session != nil {
				r.Queues, r.Queue = g.queues, g.queue
			}
		}
	}
	return r
}

// stopSlack is what a stop may take beyond GracePeriod: handlers whose context was cancelled, the farewell, Commit, what
// waits to be published, and observers have a second each, or five.
const stopSlack = 15 * time.Second

// notAlive is why it should be restarted.
func (b *board) notAlive(now time.Time, grace time.Duration) (list []Reason) {
	if r := b.result.Load(); r != nil {
		if r.err != nil {
			list = append(list, Reason{Code: ReasonFailed, Text: r.err.Error(), Since: r.at})
		}
		return list
	}
	if !b.started.Load() {
		return nil
	}
	if age := b.pulse.since(&b.pulse.turned, StuckAfter); age > 0 {
		list = append(list, Reason{
			Code: ReasonStuck, Since: now.Add(-age),
			Text: fmt.Sprintf("the supervisor has done nothing for %v: the journal hangs, or it is a fault of Everhop", age.Round(time.Second)),
		})
	}
	if !b.isStopping() {
		return list
	}
	if age := b.pulse.since(&b.stopping, grace+stopSlack); age > 0 {
		list = append(list, Reason{
			Code: ReasonStopHang, Since: now.Add(-age),
			Text: fmt.Sprintf("the stop has taken %v, and %v are allowed", age.Round(time.Second), grace+stopSlack),
		})
	}
	return list
}

// reason says what there is to say of a group: its first one's, and that there are others.
func (g *group) reason(code, text string) Reason {
	if g.why != "" {
		text = joined(text, g.why)
	}
	if g.queues > 1 {
		text = fmt.Sprintf("%s (the first of %d)", text, g.queues)
	}
	return Reason{Code: code, Text: text, Queues: g.queues, Queue: g.queue, Since: g.since}
}

// reasons are those of subscriptions, as long as it runs.
func (g *groups) reasons() (list []Reason) {
	add := func(g *group, code, text string) {
		if g.queues > 0 {
			list = append(list, g.reason(code, text))
		}
	}
	add(&g.paused, ReasonPaused, "")
	add(&g.breaker, ReasonBreaker, "")
	add(&g.apart, ReasonApart, "")
	add(&g.givenUp, ReasonGivenUp, "tried now and then")
	return list
}
