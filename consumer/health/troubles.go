package health

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
)

// Trouble is something that is the matter, in words for people.
type Trouble struct {
	Level Level `json:"level"`
	// Word says what it is, in a few words.
	Word string `json:"word"`
	// Queue is the one concerned; without it, it is about all of them.
	Queue string `json:"queue,omitempty"`
	// Text says why, or how much of it; it may be the broker's words.
	Text string `json:"text,omitempty"`
	// Since is zero if it is not known; Until is when it was over, for what is told of a while longer.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Attempt counts the attempts to end it, and NextAttempt is when the next one begins; zero while one is under way.
	Attempt     int       `json:"attempt,omitempty"`
	NextAttempt time.Time `json:"next_attempt,omitzero"`
}

// Level says how bad a trouble is.
type Level string

// The levels, the worst first.
const (
	Bad  Level = "bad"  // something is not consumed
	Warn Level = "warn" // somebody should look at it
	Note Level = "note" // it is as somebody wants it, or will pass
)

func (l Level) rank() int { return slices.Index([]Level{Bad, Warn, Note}, l) }

// hungAfter is for how long a handler may be at work until it hangs, unless it is one of those that often take nearly as long.
const hungAfter = time.Minute

// troubles returns what is the matter with a consumer: by its status, and by what its counts were a while ago, if that is
// known.
func troubles(d *Document, before map[string]earlier) []Trouble {
	list := ofAll(d)
	list = append(list, ofConnections(d)...)
	if stood := d.Stalls; stood.Count > 0 && d.Time.Sub(stood.Last) < recently {
		list = append(list, Trouble{
			Level: Warn, Word: "process stood still", Until: stood.Last,
			Text: fmt.Sprintf("for %v, in which nothing was consumed", rounded(stood.Took)),
		})
	}
	for i := range d.Subscriptions {
		list = append(list, ofSubscription(d, &d.Subscriptions[i])...)
	}
	if before != nil {
		list = append(list, ofMessages(d, before)...)
	}
	list = append(list, ofPublisher(d.Publisher)...)
	slices.SortStableFunc(list, func(a, b Trouble) int { return cmp.Compare(a.Level.rank(), b.Level.rank()) })
	return append([]Trouble{}, list...)
}

// ofAll are the reasons that are about the consumer as a whole.
func ofAll(d *Document) (list []Trouble) {
	words := map[string]Trouble{
		consumer.ReasonStuck:      {Level: Bad, Word: "stuck"},
		consumer.ReasonStopHang:   {Level: Bad, Word: "stop hangs"},
		consumer.ReasonFailed:     {Level: Bad, Word: "has given up"},
		consumer.ReasonNotStarted: {Level: Note, Word: "not started"},
		consumer.ReasonStopping:   {Level: Note, Word: "stopping"},
		consumer.ReasonStopped:    {Level: Note, Word: "stopped"},
	}
	for _, reason := range slices.Concat(d.NotAlive, d.NotReady) {
		if t, ok := words[reason.Code]; ok {
			t.Text, t.Since = reason.Text, reason.Since
			list = append(list, t)
		}
	}
	return list
}

// away returns the connection of the lifecycle, if it is lost or not to be had.
func away(d *Document) *consumer.ConnectionStatus {
	for i := range d.Connections {
		if c := &d.Connections[i]; c.Home && !c.Open && (d.State == consumer.Reviving || d.State == consumer.Connecting) {
			return c
		}
	}
	return nil
}

func ofConnections(d *Document) (list []Trouble) {
	if c := away(d); c != nil {
		t := Trouble{Level: Bad, Word: "broker away", Text: c.Error, Since: c.Since, Attempt: c.Attempt, NextAttempt: c.NextAttempt}
		switch {
		case c.Error == "" && c.Attempt <= 1:
			t.Level, t.Word = Note, "connecting"
		case c.Class == string(broker.Auth), c.Class == string(broker.VHost):
			t.Word = "login refused"
		}
		list = append(list, t)
	}
	for _, c := range d.Connections {
		if !c.BlockedSince.IsZero() {
			list = append(list, Trouble{
				Level: Warn, Word: "broker blocks", Since: c.BlockedSince,
				Text: "it reads nothing from " + c.Endpoint + because(c.BlockedReason),
			})
		}
	}
	return list
}

// ofSubscription is what keeps one from being consumed, or a handler from coming to its end.
func ofSubscription(d *Document, s *consumer.SubscriptionStatus) (list []Trouble) {
	t := Trouble{Queue: nameOf(s), Text: s.Why, Since: s.Since}
	switch s.Doing {
	case consumer.DoingRevive, consumer.DoingTry:
		if away(d) != nil && s.Apart == "" {
			break // that says it all
		}
		t.Level, t.Word = Bad, wordOf(broker.Class(s.Class))
		if s.Doing == consumer.DoingRevive && s.Why == "" && d.State == consumer.Connecting {
			t.Level, t.Word = Note, "connecting"
		}
		t.Attempt, t.NextAttempt = attempt(d, s)
		list = append(list, t)
	case consumer.DoingBreak:
		t.Level, t.Word, t.NextAttempt = Bad, "breaker open", s.Until
		list = append(list, t)
	case consumer.DoingPause:
		t.Level, t.Word = Note, "paused"
		list = append(list, t)
	case consumer.DoingConsume:
		if s.Apart != "" {
			list = append(list, Trouble{Level: Note, Word: "apart", Queue: t.Queue, Text: s.Apart})
		}
	}
	if !s.OldestInFlight.IsZero() && d.Time.Sub(s.OldestInFlight) > max(hungAfter, 5*usual(&s.Handling)) {
		list = append(list, hung(s))
	}
	return list
}

// attempt returns the attempts of what is on a connection of its own.
func attempt(d *Document, s *consumer.SubscriptionStatus) (n int, next time.Time) {
	for _, c := range d.Connections {
		if c.Generation == s.Generation && (s.Apart != "") != c.Home {
			return c.Attempt, c.NextAttempt
		}
	}
	return 0, time.Time{}
}

// usual is what nearly all calls take no longer than: the last ones, or all of them if there were none lately.
func usual(h *consumer.HandlingTime) time.Duration {
	if h.Calls > 0 || len(h.Histogram) == 0 {
		return h.P99
	}
	bounds := consumer.HandlingBuckets()
	all := h.Histogram[len(bounds)]
	if all == 0 {
		return 0
	}
	for i, n := range h.Histogram[:len(bounds)] {
		if n*100 >= all*99 {
			return bounds[i]
		}
	}
	return bounds[len(bounds)-1]
}

func hung(s *consumer.SubscriptionStatus) Trouble {
	t := Trouble{Level: Warn, Word: "handler hangs", Queue: nameOf(s), Since: s.OldestInFlight}
	if s.InFlight >= s.Concurrency {
		t.Level = Bad
	}
	t.Text = fmt.Sprintf("%d of %d busy, %s waiting", s.InFlight, s.Concurrency, messages(uint64(s.Waiting)))
	if s.LastSettled.IsZero() {
		t.Text += "; none has come to its end yet"
	}
	return t
}

// wordOf says why there is no consumer at the broker.
func wordOf(class broker.Class) string {
	switch class {
	case broker.NotFound:
		return "queue missing"
	case broker.Cancelled:
		return "queue deleted or moved"
	case broker.Auth:
		return "permission missing"
	case broker.Precondition:
		return "queue is declared otherwise"
	case broker.Exclusive:
		return "another one has the queue"
	case broker.Overdue:
		return "queue does not answer"
	case broker.ConsumerTimeout:
		return "acknowledged too late"
	case broker.BrokerShutdown:
		return "queue's node is down"
	}
	return "not consumed"
}

// ofMessages is what became of messages lately: of a queue once, whatever its subscriptions.
func ofMessages(d *Document, before map[string]earlier) (list []Trouble) {
	type queue struct {
		of, name string
		now      consumer.Stats
	}
	var queues []queue
	places := map[string]int{}
	for i := range d.Subscriptions {
		s := &d.Subscriptions[i]
		at, ok := places[s.Queue]
		if !ok {
			at = len(queues)
			places[s.Queue] = at
			queues = append(queues, queue{of: s.Queue, name: nameOf(s)})
		}
		queues[at].now.Add(s.Stats)
	}
	over := fmt.Sprintf("in the last %d minutes", int(recently.Minutes()))
	for _, q := range queues {
		was := before[q.of]
		parked, rejected := q.now.Parked-was.stats.Parked, q.now.Rejected-was.stats.Rejected
		failed := q.now.Failed - was.stats.Failed
		switch {
		case parked+rejected > 0:
			text := counted(parked, "parked", rejected, "rejected") + " " + over
			if failed > 0 {
				text += ", after " + calls(failed)
			}
			list = append(list, Trouble{Level: Warn, Word: "poison", Queue: q.name, Text: text + because(was.poison)})
		case failed > 0:
			list = append(list, Trouble{Level: Note, Word: "failures", Queue: q.name, Text: calls(failed) + " " + over})
		}
	}
	return list
}

// counted says what became of messages, without what became of none.
func counted(n uint64, fate string, m uint64, other string) string {
	switch {
	case m == 0:
		return messages(n) + " " + fate
	case n == 0:
		return messages(m) + " " + other
	}
	return fmt.Sprintf("%s %s, %d %s", messages(n), fate, m, other)
}

func messages(n uint64) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

func calls(n uint64) string {
	if n == 1 {
		return "1 failed call"
	}
	return fmt.Sprintf("%d failed calls", n)
}

func ofPublisher(p *publish.Status) (list []Trouble) {
	switch {
	case p == nil:
	case p.State == publish.Blocked:
		list = append(list, Trouble{
			Level: Bad, Word: "publishing is blocked", Since: p.Since,
			Text: "the broker reads nothing" + because(p.BlockedReason),
		})
	case p.State == publish.Reviving || p.State == publish.Connecting && p.Attempt > 1:
		list = append(list, Trouble{Level: Bad, Word: "publisher without a broker", Text: p.Error, Since: p.Since, Attempt: p.Attempt, NextAttempt: p.NextAttempt})
	}
	return list
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func nameOf(s *consumer.SubscriptionStatus) string {
	switch {
	case s.Queue != "":
		return s.Queue
	case s.Named != "":
		return s.Named
	}
	return "(not named yet)"
}

// rounded drops digits that nobody reads.
func rounded(d time.Duration) time.Duration {
	switch {
	case d > time.Minute:
		return d.Round(time.Second)
	case d > time.Second:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
