package consumer_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// evidenceMembers are the names that evidence has in JSON.
func evidenceMembers() (names []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[consumer.Evidence]()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// constantsOf are the values of a file's constants, in order, by what their names begin with.
func constantsOf(t *testing.T, path string, prefixes ...string) (values []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		for i := 0; ok && i < len(spec.Values); i++ {
			for _, prefix := range prefixes {
				if literal, ok := spec.Values[i].(*ast.BasicLit); ok && strings.HasPrefix(spec.Names[i].Name, prefix) {
					value, err := strconv.Unquote(literal.Value)
					if err != nil {
						t.Fatal(err)
					}
					values = append(values, value)
				}
			}
		}
		return true
	})
	return values
}

func TestEvidenceConstants(t *testing.T) {
	if diff := cmp.Diff(evidenceMembers(), constantsOf(t, "evidence.go", "Field")); diff != "" {
		t.Errorf("JSON names (-), constants (+):\n%s", diff)
	}
}

// membersOf are the members that evidence has in an event, each with the kind of its field. What is text in the event
// itself, Error and Note, is not among them.
func membersOf[E interface{ Event() fsm.Evidence }](t *testing.T) map[string]reflect.Kind {
	t.Helper()
	members := map[string]reflect.Kind{}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[E]()) {
		var e E
		switch v := reflect.ValueOf(&e).Elem().FieldByIndex(field.Index); {
		case v.CanInt():
			v.SetInt(1)
		case v.CanUint():
			v.SetUint(1)
		default:
			v.SetString("x")
		}
		names := []string{}
		for name := range e.Event().Details.All() {
			names = append(names, name)
			members[name] = field.Type.Kind()
		}
		if is := field.Name == "Error" || field.Name == "Note"; len(names) > 1 || len(names) == 0 != is {
			t.Errorf("%T.%s is %q in an event", e, field.Name, names)
		}
	}
	return members
}

// inPublish is a file of package publish.
func inPublish(name string) string { return filepath.Join("publish", name) }

// A publisher's evidence is all in its events, by the names that there are constants for, and is read from there.
func TestPublishersEvidence(t *testing.T) {
	names := slices.Sorted(maps.Keys(membersOf[publish.Evidence](t)))
	constants := constantsOf(t, inPublish("evidence.go"), "Field")
	slices.Sort(constants)
	if diff := cmp.Diff(names, constants); diff != "" {
		t.Errorf("in events (-), constants (+):\n%s", diff)
	}
	want := publish.Evidence{
		Generation: 1, Attempt: 2, BackoffMS: 3, SilenceMS: 4, StalledMS: 5, Endpoint: "mq1:5672", Exchange: "ex", RoutingKey: "key",
		Resent: 6, Scope: "channel", Class: "network", Code: 320, Error: "reset", Note: "lost",
	}
	if diff := cmp.Diff(want, publish.EvidenceOf(fsm.Event{Evidence: want.Event()})); diff != "" {
		t.Error(diff)
	}
}

// The schema of journals tells of all evidence of consumers and publishers, and of the names of all their notes and stale
// events.
func TestSchemaHasTheEvidence(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "testdata", "event.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]struct {
			Type     string
			Minimum  *float64
			Examples []string
		}
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	known := append(constantsOf(t, filepath.Join("..", "fsm", "fields.go"), "Field"), "prev", "crc")
	for _, members := range []map[string]reflect.Kind{membersOf[consumer.Evidence](t), membersOf[publish.Evidence](t)} {
		for name, kind := range members {
			known = append(known, name)
			p := schema.Properties[name]
			if isText := kind == reflect.String; isText != (p.Type == "string") || !isText && p.Type != "integer" {
				t.Errorf("%s is of type %q", name, p.Type)
			}
			if kind == reflect.Uint64 && (p.Minimum == nil || *p.Minimum != 0) {
				t.Errorf("%s is never negative", name)
			}
		}
	}
	for name := range schema.Properties {
		if !slices.Contains(known, name) {
			t.Errorf("nobody writes %s", name)
		}
	}
	names := constantsOf(t, "notes.go", "Note", "Stale")
	for _, name := range constantsOf(t, inPublish("evidence.go"), "Note") {
		if !slices.Contains(names, name) { // what both tell has one name
			names = append(names, name)
		}
	}
	names = append(names, journal.NoteTorn)
	if diff := cmp.Diff(names, schema.Properties[fsm.FieldName].Examples); diff != "" || len(names) < 10 {
		t.Errorf("names (-), in the schema (+):\n%s", diff)
	}
}

// drawEvidence draws any.
func drawEvidence(t *rapid.T) (e consumer.Evidence) {
	texts := rapid.OneOf(rapid.SampledFrom([]string{"", "mq1:5672", `"\`, "<&>", "\x00\x7f\u2028", "\xff", "日本語"}), rapid.String())
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		switch field, name := v.Field(i), v.Type().Field(i).Name; field.Kind() {
		case reflect.String:
			field.SetString(texts.Draw(t, name))
		case reflect.Uint64:
			field.SetUint(rapid.Uint64().Draw(t, name))
		default:
			field.SetInt(rapid.Int64Range(-1<<31, 1<<31-1).Draw(t, name))
		}
	}
	return e
}

// An event has all of the evidence, as encoding/json would put it.
func TestEvidenceOfItsEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvidence(t)
		carried := e.Event()
		want, err := fsm.NewDetails(e)
		if carried.Details != want || err != nil {
			t.Fatalf("%v\n got %s\nwant %s", err, carried.Details, want)
		}
		var byJSON consumer.Evidence
		if err := carried.Details.Decode(&byJSON); err != nil {
			t.Fatal(err)
		}
		byJSON.Error, byJSON.Note = e.Error, e.Note
		if got := consumer.EvidenceOf(fsm.Event{Evidence: carried}); got != byJSON {
			t.Fatalf("got %+v\nwant %+v", got, byJSON)
		}
	})
}

// Details may be those of another machine, or of another version.
func TestEvidenceOfStrangeDetails(t *testing.T) {
	values := []string{
		`null`, `true`, `0`, `-0`, `7`, `-7`, `1.0`, `1e2`, `2147483648`, `-9223372036854775809`, `18446744073709551615`, `18446744073709551616`,
		`""`, `"q"`, `"\u0071\"\\"`, `"7"`, `"日本語"`, `{}`, `{"queue":"x"}`, `["q"]`,
	}
	names := append(evidenceMembers(), "service", `ga\u0070`, `qu\u0065ue`)
	for _, first := range values {
		for _, second := range values {
			var members []string
			for _, name := range names {
				members = append(members, `"`+name+`":`+first, `"`+name+`":`+second)
			}
			object := "{" + strings.Join(members, ",") + "}"
			details, err := fsm.DetailsOf([]byte(object))
			if err != nil {
				t.Fatal(err)
			}
			var want consumer.Evidence
			_ = json.Unmarshal([]byte(object), &want)
			if got := consumer.EvidenceOf(fsm.Event{Evidence: fsm.Evidence{Details: details}}); got != want {
				t.Errorf("%s\n got %+v\nwant %+v", object, got, want)
			}
		}
	}
	if got := consumer.EvidenceOf(fsm.Event{}); got != (consumer.Evidence{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestEvidenceThatIsTooLong(t *testing.T) {
	e := consumer.Evidence{Endpoint: strings.Repeat("x", 9000), Note: "lost"}.Event()
	if _, err := fsm.NewDetails(map[string]string{"x": strings.Repeat("x", 9000)}); !errors.Is(err, fsm.ErrDetails) {
		t.Fatal(err)
	}
	if !e.Details.IsZero() || !strings.HasPrefix(e.Note, "lost (fsm: ") {
		t.Errorf("%+v", e)
	}
}

// Each event is made of evidence once, and read by each who looks at it.
func TestEvidenceAllocations(t *testing.T) {
	evidence := consumer.Evidence{Generation: 1, Attempt: 3, BackoffMS: 100, Endpoint: "mq1:5672", Queue: "orders", Class: "network", Code: 320, Error: "reset"}
	e := fsm.Event{Evidence: evidence.Event()}
	if n := testing.AllocsPerRun(100, func() { e.Evidence = evidence.Event() }); n > 2 {
		t.Errorf("Event allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { evidence = consumer.EvidenceOf(e) }); n > 0 {
		t.Errorf("EvidenceOf allocates %v times", n)
	}
}
