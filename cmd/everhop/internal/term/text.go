package term

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text is harmless on a terminal, and may have control sequences of everhop's own in it. It is made of constants,
// by [Plain] and [Ink.Paint], and by adding such; never by a conversion from a string.
type Text string

// Control sequences that terminals have known since the VT100.
const (
	ClearLine  Text = "\r\x1b[K" // the one with the cursor, which goes to its begin
	EraseLine  Text = "\x1b[K"   // from the cursor on
	EraseBelow Text = "\x1b[J"
	HideCursor Text = "\x1b[?25l"
	ShowCursor Text = "\x1b[?25h"
	CutLines   Text = "\x1b[?7l" // what does not fit into the window is not shown
	WrapLines  Text = "\x1b[?7h"

	home        Text = "\x1b[H"
	otherScreen Text = "\x1b[?1049h" // an empty one, beside that with the lines so far
	firstScreen Text = "\x1b[?1049l"
)

// Up moves the cursor up by so many lines, to the begin of one.
func Up(lines int) Text { return Text(fmt.Sprintf("\r\x1b[%dA", lines)) }

// Plain is text without any control sequences; those that are in it are shown, as [Clean] has them.
func Plain(text string) Text { return Text(Clean(text)) }

// Blanks is so many of them.
func Blanks(n int) Text { return Text(strings.Repeat(" ", max(0, n))) }

// TrimRight is the text without blanks at its end.
func (t Text) TrimRight() Text { return Text(strings.TrimRight(string(t), " ")) }

// Clean makes one line of text harmless: what is not printable in it is replaced by what stands for it in Go's
// strings and JSON's, as \x1b, \n, \u202e. That is control characters (also those of C1, which some terminals
// obey as they do ESC), what turns the direction of text, what has no width, and bytes that are not UTF-8.
// What is clean already stays as it is.
func Clean(text string) string { return clean(text, "") }

// CleanLines is [Clean] for text of several lines: line feeds and tabs stay.
func CleanLines(text string) string { return clean(text, "\n\t") }

// clean leaves the characters of kept as they are.
func clean(text, kept string) string {
	harmless := func(r rune) bool { return unicode.IsPrint(r) || strings.ContainsRune(kept, r) }
	plain := 0 // so many bytes at the begin, and mostly all
	for plain < len(text) && ' ' <= text[plain] && text[plain] <= '~' {
		plain++
	}
	if plain == len(text) {
		return text
	}
	b := []byte(text[:plain])
	text = text[plain:]
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			b = fmt.Appendf(b, `\x%02x`, text[0])
		case harmless(r):
			b = append(b, text[:size]...)
		default:
			b = appendEscaped(b, r)
		}
		text = text[size:]
	}
	return string(b)
}

// appendEscaped writes what JSON may hold as JSON does, so that JSON stays what it was.
func appendEscaped(b []byte, r rune) []byte {
	if i := strings.IndexRune("\a\b\f\n\r\t\v", r); i >= 0 {
		return append(b, '\\', "abfnrtv"[i])
	}
	switch {
	case r < ' ':
		return fmt.Appendf(b, `\x%02x`, r)
	case r <= 0xffff:
		return fmt.Appendf(b, `\u%04x`, r)
	}
	high, low := utf16.EncodeRune(r)
	return fmt.Appendf(b, `\u%04x\u%04x`, high, low)
}
