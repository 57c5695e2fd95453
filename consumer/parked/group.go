package parked

import (
	"cmp"
	"regexp"
	"slices"
	"time"
)

// Group is of entries whose errors are alike.
type Group struct {
	// Error is what their errors have in common: the first line, with ... for numbers and ids.
	Error string
	Count int
	// First and Last are the earliest and the latest failure of any of them; zero if none is known.
	First, Last time.Time
	// From are the queues from which they came, sorted; at most 10.
	From []string
	// Example is one of them, without its body.
	Example *Entry
}

// Groups gathers entries by their errors. The zero value is ready.
type Groups struct {
	of map[string]*Group
}

const (
	// maxGroups bounds the memory. Errors that are not alike beyond that are one group.
	maxGroups = 1000
	maxFrom   = 10
	otherwise = "(other errors)"
)

// Add puts an entry into its group.
func (g *Groups) Add(e *Entry) {
	if g.of == nil {
		g.of = map[string]*Group{}
	}
	key := Fold(e.Headline())
	group := g.of[key]
	if group == nil && len(g.of) >= maxGroups {
		key = otherwise
		group = g.of[key]
	}
	if group == nil {
		message := *e.Message
		message.Body = nil
		example := *e
		example.Message = &message
		group = &Group{Error: key, Example: &example}
		g.of[key] = group
	}
	group.Count++
	if !e.First.IsZero() && (group.First.IsZero() || e.First.Before(group.First)) {
		group.First = e.First
	}
	if e.Last.After(group.Last) {
		group.Last = e.Last
	}
	if at, there := slices.BinarySearch(group.From, e.From); !there && e.From != "" && len(group.From) < maxFrom {
		group.From = slices.Insert(group.From, at, e.From)
	}
}

// List returns the groups, the largest first.
func (g *Groups) List() []*Group {
	var list []*Group
	for _, group := range g.of {
		list = append(list, group)
	}
	slices.SortFunc(list, func(a, b *Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Error, b.Error))
	})
	return list
}

// ids are what tells errors of the same kind apart: UUIDs, hexadecimal ids with a digit in them, and numbers.
var ids = regexp.MustCompile(`(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}` +
	`|\b0x[0-9a-f]+\b|\b(?:[0-9]+[a-f]|[a-f]+[0-9])[0-9a-f]{5,}\b|[0-9]+(?:[.,:][0-9]+)*`)

// Fold returns an error with ... in place of each number and id, so that errors of one kind become one text.
func Fold(text string) string { return ids.ReplaceAllString(text, "...") }
