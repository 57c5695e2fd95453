package health_test

import (
	"encoding/json"
	"testing"

	"gotest.tools/v3/golden"

	"github.com/everhop/everhop/consumer/health"
)

// The eight documents are files, for the tests of whatever shows one: testdata/documents.
func TestDocuments(t *testing.T) {
	for _, c := range eight {
		d := made(morning, 10)
		c.make(&d)
		d.Troubles = health.Troubles(&d, made(morning, 10), c.why)
		text, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden.Assert(t, string(text)+"\n", "documents/"+c.name+".json")
	}
}
