package journal_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// schema is as much of JSON Schema as event.schema.json uses.
type schema struct {
	Required   []string
	Properties map[string]struct {
		Type      string
		Pattern   string
		MinLength int
		MaxLength *int
		Minimum   *float64
		Const     any
		Examples  []string
	}
}

func readSchema(t *testing.T) (s schema) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "event.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// problems returns what is wrong with a record.
func (s schema) problems(line []byte) (problems []string) {
	var record map[string]any
	if err := json.Unmarshal(line, &record); err != nil {
		return []string{err.Error()}
	}
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, name := range s.Required {
		if _, ok := record[name]; !ok {
			problem("%s is missing", name)
		}
	}
	for name, value := range record {
		p, ok := s.Properties[name]
		if !ok {
			problem("%s is not in the schema", name)
			continue
		}
		switch v := value.(type) {
		case string:
			if p.Type != "string" || len(v) < p.MinLength || p.MaxLength != nil && len(v) > *p.MaxLength || !regexp.MustCompile(p.Pattern).MatchString(v) {
				problem("%s is %q", name, v)
			}
		case float64:
			if p.Type != "integer" || v != math.Trunc(v) || p.Minimum != nil && v < *p.Minimum || p.Const != nil && p.Const != v {
				problem("%s is %v", name, v)
			}
		default:
			problem("%s is a %T", name, v)
		}
	}
	return problems
}

func TestRecordsOfEveryKindFitTheSchema(t *testing.T) {
	s, kinds := readSchema(t), map[string]bool{}
	o := newOutage(t, journal.Options{SegmentBytes: 3000})
	m := newMachine(t, doorTable(t), fsm.Options{Name: "door", Journal: o})
	full := fsm.Evidence{
		Details: details(t, `{"gen":1,"attempt":2,"backoff_ms":3,"endpoint":"h:1","queue":"q","scope":"s","class":"c","code":4}`),
		Error:   strings.Repeat("é", 10_000), Note: "n",
	}
	for _, kind := range []fsm.Kind{fsm.KindBoot, fsm.KindStale, fsm.KindNote} {
		if _, err := m.Record(kind, "name", full); err != nil {
			t.Fatal(err)
		}
	}
	fire(t, m, "Open")
	_, _ = m.Fire("Open", full)
	o.BreakWrite(func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC })
	fire(t, m, "Close")
	o.empty()
	fire(t, m, "Knock")
	cycle := m.Last() // as a ring has it, from which somebody writes a file
	cycle.Kind, cycle.Seq, cycle.Via, cycle.Back, cycle.Count = fsm.KindCycle, cycle.Seq+1, "Open", "Close", 4
	if err := o.Append(cycle); err != nil {
		t.Fatal(err)
	}
	o.Close()
	for _, path := range segmentsOf(t, o.dir) {
		for line := range bytes.Lines(must(os.ReadFile(path))) {
			if problems := s.problems(line); problems != nil {
				t.Errorf("%.200s: %s", line, problems)
			}
			var record struct{ Kind string }
			_ = json.Unmarshal(line, &record)
			kinds[record.Kind] = true
		}
	}
	for _, kind := range s.Properties["kind"].Examples {
		if !kinds[kind] {
			t.Errorf("no record of kind %s was checked", kind)
		}
		delete(kinds, kind)
	}
	if len(kinds) > 0 {
		t.Errorf("not in the schema: %v", kinds)
	}
}

func TestSchemaRefuses(t *testing.T) {
	s := readSchema(t)
	good := string(journal.AppendEvent(nil, &fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Seq: 1, Run: "r", From: "A", To: "A"}))
	if problems := s.problems([]byte(good)); problems != nil {
		t.Fatal(problems)
	}
	for was, is := range map[string]string{
		`"v":1,`: `"v":2,`, `"seq":1`: `"seq":-1`, `"mono_ns":0`: `"mono_ns":0.5`, `"kind":"note"`: `"kind":""`, `"run":"r",`: ``, `"to":"A"`: `"to":7`, `00Z`: `00+01:00`, `"from"`: `"odd":1,"from"`,
	} {
		if bad := strings.Replace(good, was, is, 1); bad == good || s.problems([]byte(bad)) == nil {
			t.Errorf("accepted: %s", bad)
		}
	}
}
