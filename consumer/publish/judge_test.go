package publish_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/publish"
)

// judge holds what the callers were told against what the queues hold, and what was written.
func (h *history) judge() {
	there := map[string]int{} // copies in its queue
	for _, queue := range append([]string{full.key}, "q0", "q1", "ex-a", "ex-b") {
		var names []string
		for _, m := range h.server.Messages(queue) {
			name, _, _ := strings.Cut(strings.TrimPrefix(string(m.Body), "<"), ">")
			there[queue+" "+name]++
			names = append(names, name)
		}
		h.judgeOrder(queue, names)
	}
	var settled int
	for _, c := range slices.Concat(h.calls...) {
		h.judgeCall(c, there[c.to.queue()+" "+c.name])
		if c.is != notUTF8 && !(errors.Is(c.err, publish.ErrStopped) && c.waited == nil) {
			settled++
		}
	}
	s := h.p.Stats()
	if s.Waiting != 0 || s.Unconfirmed != 0 {
		h.blame("something is left in the end: %+v", s)
	}
	counted := s.Confirmed + s.Unroutable + s.Refused + s.NotSent + s.NotKnown
	if h.stop == 0 && counted != uint64(settled) {
		h.blame("%d messages are counted, and %d were sent: %+v", counted, settled, s)
	}
}

// judgeOrder: of each sender, the first copies are in the order of sending. What the caller does not know of may come
// later, out of a connection that was frozen: it was not sent again, before what is newer.
func (h *history) judgeOrder(queue string, names []string) {
	seen, last := map[string]bool{}, map[int]int{}
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		var sender, n int
		if _, err := fmt.Sscanf(name, "s%d.%d", &sender, &n); err != nil {
			h.blame("%s holds %q", queue, name)
			continue
		}
		if errors.Is(h.calls[sender][n].err, publish.ErrNotKnown) {
			continue
		}
		if n < last[sender] {
			h.blame("%s: %s is behind s%d.%d: %v", queue, name, sender, last[sender], names)
		}
		last[sender] = n
	}
}

func (h *history) judgeCall(c *call, copies int) {
	var code int
	var refused *broker.Error
	if errors.As(c.err, &refused) {
		code = refused.Code
	}
	notSent, notKnown := errors.Is(c.err, publish.ErrNotSent), errors.Is(c.err, publish.ErrNotKnown)
	unroutable, full := errors.Is(c.err, broker.ErrUnroutable), errors.Is(c.err, broker.ErrRefused)
	wrong := func(what string) { h.blame("%s: %s; %d copies, %v; %v", c.name, what, copies, c.err, c.sending) }

	switch {
	case c.err == nil && !c.is.isGood():
		wrong("is confirmed, and is " + string(c.is))
	case c.err == nil && copies == 0 && !h.moves:
		wrong("is confirmed and not there")
	case notSent && copies > 0, !c.is.isGood() && copies > 0:
		wrong("is there")
	case unroutable && copies > 0 && !h.moves, full && copies > 0 && !h.cuts && !h.channels:
		wrong("is there, and is said to be refused")
	case notSent || notKnown:
		if c.patience == 0 && h.stop == 0 {
			wrong("did not end by itself")
		}
	case !h.channels && !h.moves:
		if want := h.outcome(c); want != "" {
			got := map[bool]string{unroutable: "unroutable", full: "full"}[true]
			switch {
			case c.err == nil:
				got = "nil"
			case errors.Is(c.err, broker.ErrHeaderTooLarge):
				got = "header"
			case code != 0:
				got = fmt.Sprint(code)
			case got == "":
				got = "another"
			}
			if !strings.Contains(want, got) {
				wrong("ends with " + got + ", want " + want)
			}
		}
	}
	for i, t := range h.taps {
		n := t.copies(c.name)
		switch {
		case n > 0 && (notSent || c.is == bigHeaders || c.is == notUTF8):
			wrong("was written")
		case n > 1 && !h.bad && !h.channels && !h.moves:
			wrong(fmt.Sprintf("was written %d times on connection %d", n, i))
		}
	}
}

// outcome is what must become of a message that nobody and nothing kept from it; one of several.
func (h *history) outcome(c *call) string {
	switch {
	case c.is == tooLarge, c.is == wrongUser, c.is == noNumber:
		return "406"
	case c.is == bigHeaders:
		return "header"
	case c.is == notUTF8:
		return "another"
	case c.to == missing:
		return "404"
	case slices.Contains(nowhere, c.to):
		return "unroutable"
	case c.to == full:
		return "nil full"
	}
	return "nil"
}

// story is for people.
func (h *history) story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "window %d, %d bytes; as %s; stop %v, hard %v\n", h.window, h.windowBytes, h.version, h.stop, h.hard)
	for _, list := range h.calls {
		for _, c := range list {
			fmt.Fprintf(&b, "%8v %s %v: %v\n", c.returned.Sub(h.began), c.name, c.sending, c.err)
		}
	}
	for _, line := range h.occurred {
		b.WriteString(line + "\n")
	}
	for _, e := range h.events {
		fmt.Fprintf(&b, "%8v %s %s %s %s\n", e.Time.Sub(h.began), e.Kind, e.Trigger, e.Name, e.Error)
	}
	for _, wrong := range h.wrong {
		b.WriteString("wrong: " + wrong + "\n")
	}
	return b.String()
}
