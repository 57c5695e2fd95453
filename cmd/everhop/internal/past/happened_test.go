package past

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
)

// What is drawn is one machine's, and the warnings tell what the drawing cannot.
func TestHappened(t *testing.T) {
	orders, mails := pasttest.New(t, "orders").Connect().Idle(3), pasttest.New(t, "mails").Connect()
	unnamed := pasttest.New(t, "").Connect()
	both := pasttest.Log{T: t, Events: slices.Concat(orders.Events[:4], mails.Events, orders.Events[4:])}
	three := pasttest.Log{T: t, Events: slices.Concat(unnamed.Events, both.Events)}
	whole := orders.File()

	second := pasttest.New(t, "orders").Connect() // in another process
	for i := range second.Events {
		second.Events[i].Run = "another"
	}
	overlapping := pasttest.Log{T: t, Events: slices.Concat(orders.Events[:4], second.Events[:2], orders.Events[4:])}
	holes := pasttest.Log{T: t, Events: slices.Delete(slices.Clone(orders.Events), 4, 7)}
	hole := pasttest.Log{T: t, Events: slices.Delete(slices.Clone(orders.Events), 4, 5)}
	gone := hole
	gone.Events = slices.Insert(slices.Clone(hole.Events), 7, second.Events[0])
	damaged := pasttest.SegmentsOf(t, orders.Journal())[0]
	pasttest.Change(t, damaged, `"Connect"`, `"connect"`)

	const (
		overlaps = "runs went on after the next one had begun: several machines have this name; times are not to be trusted"
		one      = "1 event is not in this log: counts and times are lower bounds"
		several  = "3 events are not in this log: counts and times are lower bounds"
	)
	name := func(text string) *string { return &text }
	tests := []struct {
		name     string
		path     string
		machine  *string
		idle     int // DrainTimeouts that are drawn
		warnings []string
		want     string // in the error
	}{
		{"one machine", whole, nil, 3, nil, ""},
		{"by its name", whole, name("orders"), 3, nil, ""},
		{"several", both.File(), nil, 0, nil, "--machine has to tell which one of several: orders, mails"},
		{"several, one without a name", three.File(), nil, 0, nil, "--machine has to tell which one of several: one without a name, orders, mails"},
		{"one of several", three.File(), name("orders"), 3, nil, ""},
		{"the other of several", three.File(), name("mails"), 0, nil, ""},
		{"the one without a name", three.File(), name(""), 0, nil, ""},
		{"none of them", both.File(), name("x"), 0, nil, `nothing of machine "x"; there is: orders, mails`},
		{"overlapping runs", overlapping.File(), nil, 3, []string{overlaps}, ""},
		{"a hole", hole.File(), nil, 3, []string{one}, ""},
		{"holes", holes.File(), nil, 2, []string{several}, ""},
		{"both", gone.File(), nil, 3, []string{overlaps, one}, ""},
		{"a journal", orders.Journal(), nil, 3, nil, ""},
		{"damaged", damaged, nil, 0, nil, ":3 is damaged at byte "},
		{"nothing", pasttest.NewFile(t, "empty", ""), nil, 0, nil, ": empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			drawing, err := Happened(t.Context(), Source{Path: tt.path}, tt.machine)
			if (err == nil) != (tt.want == "") || !strings.Contains(said(err), tt.want) || !slices.Equal(drawing.Warnings, tt.warnings) {
				t.Errorf("%q, %v, want %q, %s", drawing.Warnings, err, tt.warnings, tt.want)
			}
			if err != nil {
				return
			}
			graph := drawing.Of.Table.DOTSummary(drawing.Happened)
			drawn := "0"
			if found := regexp.MustCompile(`"DrainTimeout (\d+)×`).FindStringSubmatch(graph); found != nil {
				drawn = found[1]
			}
			if drawn != strconv.Itoa(tt.idle) {
				t.Errorf("%s DrainTimeouts in\n%s", drawn, graph)
			}
		})
	}
}
