package fsm_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// The schema of the files tells of every member of an event, and of the two that a
// journal adds; what else it has is of those whose machines they are.
func TestSchemaNamesEveryField(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "testdata", "event.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]struct{ Type, Description string }
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(constants(t, "fields.go"), "prev", "crc") {
		if _, ok := schema.Properties[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	for name, p := range schema.Properties {
		if p.Type == "" || p.Description == "" {
			t.Errorf("%s has type %q and description %q", name, p.Type, p.Description)
		}
	}
}
