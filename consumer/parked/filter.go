package parked

import (
	"fmt"
	"regexp"
	"time"
)

// Filter says which messages are meant: those that match all that is set. The zero value matches all.
type Filter struct {
	// Error is looked for in the text of the error.
	Error *regexp.Regexp
	// Since is the earliest time of the last failure. What has no such time does not match.
	Since time.Time
	// From is the queue from which it came.
	From string
	// ID is the message id.
	ID string
	// Headers are names and values; a value is compared as [Text] writes it.
	Headers map[string]string
}

// Match tells whether an entry is meant.
func (f *Filter) Match(e *Entry) bool {
	switch {
	case f.Error != nil && !f.Error.MatchString(e.Error),
		!f.Since.IsZero() && (e.Last.IsZero() || e.Last.Before(f.Since)),
		f.From != "" && f.From != e.From,
		f.ID != "" && f.ID != e.Message.MessageID:
		return false
	}
	for name, want := range f.Headers {
		if value, there := e.Message.Headers[name]; !there || Text(value) != want {
			return false
		}
	}
	return true
}

// matchesAll tells whether nothing is set.
func (f *Filter) matchesAll() bool {
	return f.Error == nil && f.Since.IsZero() && f.From == "" && f.ID == "" && len(f.Headers) == 0
}

// Text is the value of a header in words: a time in UTC, bytes as text.
func Text(value any) string {
	switch v := value.(type) {
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	}
	return fmt.Sprint(value)
}
