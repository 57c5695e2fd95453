package main

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// table has a column for each title, as wide as its widest cell so far. It is written in parts, and so is never large.
type table struct {
	out    *term.Output
	rows   [][]string
	widths []int
}

func newTable(out *term.Output, titles ...string) *table {
	return &table{out: out, rows: [][]string{titles}, widths: make([]int, len(titles))}
}

const (
	// widest is what is shown of a cell that is not the last one of its row.
	widest = 40
	// tableRows is how many rows are written at once.
	tableRows = 1000
)

func (t *table) add(cells ...string) error {
	for i := range cells {
		cells[i] = term.Clean(cells[i])
		if cells[i] == "" {
			cells[i] = "-"
		}
		if i < len(cells)-1 {
			cells[i] = shortened(cells[i], widest)
		}
	}
	if t.rows = append(t.rows, cells); len(t.rows) < tableRows {
		return nil
	}
	return t.write()
}

// finish writes the rest. Of a table without rows there is no head either.
func (t *table) finish() error {
	if len(t.rows) == 1 && t.widths[0] == 0 {
		return nil
	}
	return t.write()
}

func (t *table) write() error {
	for _, row := range t.rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], term.Width(cell))
		}
	}
	var text bytes.Buffer
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", t.widths[i]-term.Width(cell)+2))
			}
		}
		shown := line.String()
		if width := t.out.Width(); width > 0 {
			shown = term.Cut(shown, width-1)
		}
		text.WriteString(shown + "\n")
	}
	t.rows = nil
	_, err := t.out.Write(text.Bytes())
	return err
}

func shortened(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

// longestBegin is what a table shows of a body.
const longestBegin = 80

func beginning(body []byte) string {
	if !utf8.Valid(body) {
		return "(binary)"
	}
	return shortened(string(body[:min(len(body), 4*longestBegin)]), longestBegin)
}

func shortTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}
