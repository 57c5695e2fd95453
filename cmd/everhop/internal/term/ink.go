package term

import "strings"

// Ink paints text, or leaves it unpainted where colours are not wanted.
type Ink bool

// Style is a colour or a weight of text. The zero value is none.
type Style string

// The styles that everhop paints with.
const (
	Bold   Style = "1"
	Grey   Style = "90"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Cyan   Style = "36"
)

// Paint paints text, which is cleaned.
func (on Ink) Paint(text string, how ...Style) Text {
	var codes []string
	for _, style := range how {
		if style != "" {
			codes = append(codes, string(style))
		}
	}
	if !on || text == "" || len(codes) == 0 {
		return Plain(text)
	}
	return "\x1b[" + Text(strings.Join(codes, ";")) + "m" + Plain(text) + "\x1b[0m"
}
