package doctor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// Status says how bad a finding is.
type Status string

// The statuses.
const (
	OK      Status = "ok"
	Warning Status = "warning" // it works, and may not always
	Broken  Status = "broken"
	Skipped Status = "skipped" // not looked at, for a reason
)

// Finding is what a check has found.
type Finding struct {
	// Check names the check, such as "tls"; the names stay as they are.
	Check string `json:"check"`
	// Of is the endpoint, the queue or the file that it is about; "" if there is only one.
	Of     string `json:"of,omitempty"`
	Status Status `json:"status"`
	// Text is what was found, and Advice what to do about it.
	Text   string `json:"text"`
	Advice string `json:"advice,omitempty"`
}

// Report is all that was found, in the order in which it was looked for.
type Report struct {
	Findings []Finding
}

// Worst is the worst status of all: ok, warning or broken.
func (r *Report) Worst() Status {
	for _, status := range []Status{Broken, Warning} {
		if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Status == status }) {
			return status
		}
	}
	return OK
}

// MarshalJSON writes {"version":1,"status":...,"checks":[...]}.
func (r *Report) MarshalJSON() ([]byte, error) {
	findings := r.Findings
	if findings == nil {
		findings = []Finding{}
	}
	return json.Marshal(struct {
		Version int       `json:"version"`
		Status  Status    `json:"status"`
		Checks  []Finding `json:"checks"`
	}{1, r.Worst(), findings})
}

var styles = map[Status]term.Style{OK: term.Green, Warning: term.Yellow, Broken: term.Red, Skipped: term.Grey}

// Line is a finding as one line.
func (f Finding) Line(ink term.Ink) term.Text {
	const wide, check = len("warning"), len("file limits")
	line := ink.Paint(fmt.Sprintf("%-*s", wide, f.Status), styles[f.Status]) + "  " +
		ink.Paint(fmt.Sprintf("%-*s", check, strings.ReplaceAll(f.Check, "_", " ")), term.Bold) + "  "
	if f.Of != "" {
		line += term.Plain(f.Of + ": ")
	}
	line += term.Plain(oneLine(f.Text))
	if f.Advice != "" {
		line += ink.Paint(" -> "+oneLine(f.Advice), term.Cyan)
	}
	return line + "\n"
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// Summary is the last line.
func (r *Report) Summary(ink term.Ink) term.Text {
	count := map[Status]int{}
	for _, f := range r.Findings {
		count[f.Status]++
	}
	var parts []string
	for _, status := range []Status{Broken, Warning, OK, Skipped} {
		if n := count[status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	return ink.Paint(strings.Join(parts, ", "), styles[r.Worst()]) + "\n"
}
