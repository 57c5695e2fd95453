package fsm_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
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
		if !field.Anonymous {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
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
		V: fsm.Schema, Kind: fsm.KindTransition, Seq: 7, Run: "r", Machine: "m",
		Time: time.Date(2024, 5, 17, 12, 0, 0, 1, time.UTC), MonoNS: 5, From: "A", To: "B", Trigger: "Go", InStateMS: 3, Table: "t",
		Evidence: fsm.Evidence{
			Generation: 1, Attempt: 2, BackoffMS: 3, Endpoint: "h:1", Queue: "q", Scope: "s",
			Class: "c", Code: 320, Error: "e", Note: "n",
		},
	}
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	var flat map[string]any
	if err := json.Unmarshal(text, &flat); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for key, value := range flat {
		keys = append(keys, key)
		if _, nested := value.(map[string]any); nested {
			t.Errorf("%s is an object", key)
		}
	}
	want := constants(t, "fields.go")
	slices.Sort(keys)
	slices.Sort(want)
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	var back fsm.Event
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(event, back); diff != "" {
		t.Errorf("round trip:\n%s", diff)
	}
}
