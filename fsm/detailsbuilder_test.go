package fsm_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/everhop/everhop/fsm"
)

func TestDetailsBuilder(t *testing.T) {
	var b fsm.DetailsBuilder
	if d, err := b.Details(); !d.IsZero() || err != nil {
		t.Errorf("of nothing: %s, %v", d, err)
	}
	b.Text("none", "")
	b.Int("none", 0)
	b.Uint("none", 0)
	b.Text("plain", "a text\x7f")
	b.Text(`odd "name"`, "日本語 <&> \"\\\n\u2028\xff")
	b.Int("least", math.MinInt64)
	b.Uint("most", math.MaxUint64)
	b.Int("least", 1) // a name may come twice, as in any JSON object
	got, err := b.Details()
	const want = `{"plain":"a text` + "\x7f" + `","odd \"name\"":"日本語 <&> \"\\\n\u2028\ufffd","least":-9223372036854775808,"most":18446744073709551615,"least":1}`
	if got != details(t, want) || err != nil {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}

func TestDetailsBuilderRefuses(t *testing.T) {
	for _, name := range constants(t, "fields.go") {
		var b fsm.DetailsBuilder
		b.Text("first", "x")
		b.Int(name, 1)
		b.Uint("last", 2)
		if d, err := b.Details(); !d.IsZero() || !errors.Is(err, fsm.ErrDetails) || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("%s: %s, %v", name, d, err)
		}
	}
	longest := strings.Repeat("x", 8192-len(`"x":""`))
	var b fsm.DetailsBuilder
	b.Text("x", longest)
	if d, err := b.Details(); len(d.String()) != 8192 || err != nil {
		t.Errorf("as long as may be: %d bytes, %v", len(d.String()), err)
	}
	b.Text("y", "z")
	if d, err := b.Details(); !d.IsZero() || !errors.Is(err, fsm.ErrDetails) {
		t.Errorf("too long: %d bytes, %v", len(d.String()), err)
	}
}
