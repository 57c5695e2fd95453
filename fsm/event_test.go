package fsm_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/fsm"
)

func TestFieldConstantsAreTheJSONNames(t *testing.T) {
	var tags []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[fsm.Event]()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
			tags = append(tags, name)
		}
	}
	if diff := cmp.Diff(tags, constants(t, "fields.go")); diff != "" {
		t.Errorf("JSON tags (-), constants (+):\n%s", diff)
	}
}

// constants returns the values of a file's constants, in order.
func constants(t *testing.T, path string) (values []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			value, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	return values
}

func TestEventIsOneFlatObject(t *testing.T) {
	event := fsm.Event{
		V: fsm.Schema, Kind: fsm.KindTransition, Name: "x", Seq: 7, Run: "r", Machine: "m",
		Time: time.Date(2024, 5, 17, 12, 0, 0, 1, time.UTC), MonoNS: 5, From: "A", To: "B", Trigger: "Go", Via: "C", Back: "Come", Count: 2, InStateMS: 3, Table: "t",
		Evidence: fsm.Evidence{Details: details(t, `{"b":{"seq":[1]},"a":"<","b":2e400}`), Error: "e", Note: "n"},
	}
	// The details stand before the reasons, in their own order, and nobody looks into them.
	const want = `{"v":1,"kind":"transition","name":"x","seq":7,"run":"r","machine":"m","time":"2024-05-17T12:00:00.000000001Z","mono_ns":5,` +
		`"from":"A","to":"B","trigger":"Go","via":"C","back":"Come","count":2,"in_state_ms":3,"table":"t","b":{"seq":[1]},"a":"<","b":2e400,"error":"e","note":"n"}`
	text, err := event.MarshalJSON()
	if string(text) != want || err != nil {
		t.Errorf("%v\n got %s\nwant %s", err, text, want)
	}
	var back fsm.Event
	if err := json.Unmarshal([]byte(want), &back); err != nil || back != event {
		t.Errorf("round trip: %v\n got %+v\nwant %+v", err, back, event)
	}

	for _, name := range constants(t, "fields.go") {
		if strings.Count(want, `"`+name+`":`) != 1 && name != fsm.FieldSeq {
			t.Errorf("%s was not tried", name)
		}
	}
	const least = `{"v":0,"kind":"","seq":0,"run":"","time":"0001-01-01T00:00:00Z","mono_ns":0,"from":"","to":"","in_state_ms":0}`
	if text, err := (fsm.Event{}).MarshalJSON(); string(text) != least || err != nil {
		t.Errorf("%v\n got %s\nwant %s", err, text, least)
	}
}

func TestEventFromJSON(t *testing.T) {
	for object, want := range map[string]fsm.Event{
		`{}`: {},
		` { "kind" : "note", "seq" : 3 , "gen" : 1 } `:        {Kind: fsm.KindNote, Seq: 3, Evidence: fsm.Evidence{Details: details(t, `{"gen":1}`)}},
		`{"KIND":"loud","kind":"note","Evidence":{},"-":"-"}`: {Kind: fsm.KindNote, Evidence: fsm.Evidence{Details: details(t, `{"KIND":"loud","Evidence":{},"-":"-"}`)}},
		`{"seq":1,"run":null,"seq":2,"Details":null}`:         {Seq: 2, Evidence: fsm.Evidence{Details: details(t, `{"Details":null}`)}},
	} {
		got := fsm.Event{Name: "old", Seq: 9, Evidence: fsm.Evidence{Note: "old", Details: details(t, `{"old":1}`)}}
		if err := got.UnmarshalJSON([]byte(object)); err != nil || got != want {
			t.Errorf("%s: %v\n got %+v\nwant %+v", object, err, got, want)
		}
	}
	for _, object := range []string{``, `null`, `[]`, `7`, `{"v":1}{}`, `{"v":1,}`, `{"seq":-1}`, `{"kind":7}`, `{"note":{}}`, `{"x":01}`} {
		if err := new(fsm.Event).UnmarshalJSON([]byte(object)); err == nil {
			t.Errorf("accepted: %s", object)
		}
	}
}
