package term

import (
	"strings"
	"unicode/utf8"
)

// Width is how many columns clean text takes, if each of its characters takes one.
func Width(text string) int { return utf8.RuneCountInString(text) }

// Cut is the begin of clean text, of so many columns at most.
func Cut(text string, width int) string {
	if letters := []rune(text); len(letters) > max(0, width) {
		return string(letters[:max(0, width)])
	}
	return text
}

// Wrap breaks text into lines of so many columns, where there are blanks if it can. No width: one line.
func Wrap(text string, width int) []string {
	if width <= 0 {
		return []string{text}
	}
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		for {
			joined := word
			if line != "" {
				joined = line + " " + word
			}
			if Width(joined) <= width {
				line = joined
				break
			}
			if line != "" {
				lines, line = append(lines, line), ""
				continue
			}
			letters := []rune(word)
			lines, word = append(lines, string(letters[:width])), string(letters[width:])
		}
	}
	return append(lines, line)
}
