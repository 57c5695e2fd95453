package handlers

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/everhop/everhop/cmd/everhop/internal/secrets"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// mostSaid is how much of what a command or a server says goes into the error of its message. With the words before it,
// it fits into the header of a parked message, which has 1 KiB.
const mostSaid = 900

// tail is the end of a text that grows.
type tail struct {
	kept    []byte
	dropped bool // there was more before
}

func (t *tail) add(text []byte) {
	t.dropped = t.dropped || len(text) > mostSaid
	t.kept = append(t.kept, text[max(0, len(text)-mostSaid):]...)
	if spare := len(t.kept) - mostSaid; spare > mostSaid {
		t.kept = t.kept[:copy(t.kept, t.kept[spare:])]
		t.dropped = true
	}
}

func (t *tail) text() string {
	if t == nil {
		return ""
	}
	kept := t.kept
	if t.dropped { // of a URL with a password the begin may be missing, by which it is known
		if word := bytes.IndexAny(kept, " \t\r\n"); word >= 0 {
			kept = kept[word:]
		}
	}
	text := presentable(kept)
	if cut := len(text) - mostSaid; cut > 0 {
		for !utf8.RuneStart(text[cut]) {
			cut++
		}
		text = text[cut:]
	}
	return strings.TrimSpace(text)
}

// beginOf is the begin of a text.
func beginOf(said []byte) string {
	if len(said) >= mostSaid { // of a URL with a password the end may be missing
		said = cutURL.ReplaceAll(said, nil)
	}
	text := presentable(said)
	if len(text) > mostSaid {
		end := mostSaid
		for !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	return strings.TrimSpace(text)
}

var cutURL = regexp.MustCompile(`(?i)(?:amqp|http)s?://\S*$`)

// presentable is text from elsewhere, for logs and headers: UTF-8, without control characters, and without passwords of
// URLs. A piece of a character at its begin or end is left out.
func presentable(said []byte) string {
	for i := 0; i < utf8.UTFMax-1 && len(said) > 0 && !utf8.RuneStart(said[0]); i++ {
		said = said[1:]
	}
	for i := 1; i < utf8.UTFMax && i <= len(said); i++ {
		if begin := len(said) - i; utf8.RuneStart(said[begin]) {
			if !utf8.FullRune(said[begin:]) {
				said = said[:begin]
			}
			break
		}
	}
	text := strings.ReplaceAll(string(said), "\r\n", "\n")
	return secrets.Redact(term.CleanLines(strings.ToValidUTF8(text, "\uFFFD")))
}
