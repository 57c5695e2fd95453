package consumer

import (
	"errors"
	"slices"
	"strings"
)

// Detail adds to an error what was said about it elsewhere, such as the end of what a command has written to its standard
// error. The error's text ends with it, which goes with the message when that is parked (HeaderError). In the log line
// about a failure it is a field of its own, called name, and the field "error" is without it. A name that the
// line has already, such as [FieldQueue], is not for this. With an empty text Detail returns err, and Detail of nil is nil.
//
// What a handler returns may have several, wrapped or not; those of one name share a field. Of two that were joined
// (errors.Join) the log knows one.
func Detail(err error, name, text string) error {
	if err == nil || text == "" {
		return err
	}
	return &detailed{err, extra{name, text}}
}

type detailed struct {
	error
	extra
}

// extra is a field of a log line.
type extra struct{ name, text string }

func (d *detailed) Error() string { return d.error.Error() + ": " + d.text }

func (d *detailed) Unwrap() error { return d.error }

// detailsOf tells an error's text without its details, and these.
func detailsOf(err error) (brief string, details []extra) {
	brief = err.Error()
	for d := (*detailed)(nil); errors.As(err, &d); err = d.error {
		whole := d.Error()
		if !strings.Contains(brief, whole) {
			break // somebody has made another text of it
		}
		brief = strings.Replace(brief, whole, d.error.Error(), 1)
		same := slices.IndexFunc(details, func(e extra) bool { return e.name == d.name })
		if same < 0 {
			details = append(details, d.extra)
		} else { // the outer one was said later
			details[same].text = d.text + "\n" + details[same].text
		}
	}
	return brief, details
}
