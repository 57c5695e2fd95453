package doctor

import (
	"encoding/json"
	"testing"
)

func TestArgumentAndPolicy(t *testing.T) {
	for _, tt := range []struct {
		kind, name       string
		argument, policy any
		want             any
		by               string
	}{
		{"classic", "max-length", int64(100), nil, int64(100), "as it was declared"},
		{"classic", "max-length", nil, json.Number("5"), json.Number("5"), "by its policy"},
		{"classic", "max-length", int64(100), json.Number("5"), json.Number("5"), "by its policy"},
		{"classic", "max-length", int64(5), json.Number("100"), int64(5), "as it was declared"},
		{"quorum", "delivery-limit", int64(-1), json.Number("5"), json.Number("5"), "by its policy"},
		{"classic", "overflow", "reject-publish", "drop-head", "reject-publish", "as it was declared"},
		{"quorum", "overflow", "reject-publish", "drop-head", "drop-head", "by its policy"},
		{"classic", "dead-letter-exchange", "a", "b", "a", "as it was declared"},
		{"classic", "message-ttl", nil, nil, nil, ""},
	} {
		d := declared{kind: tt.kind, arguments: map[string]any{}, policy: map[string]any{}}
		if tt.argument != nil {
			d.arguments["x-"+tt.name] = tt.argument
		}
		if tt.policy != nil {
			d.policy[tt.name] = tt.policy
		}
		if got, by := d.value(tt.name); got != tt.want || by != tt.by {
			t.Errorf("%+v: %v %s", tt, got, by)
		}
	}
}
