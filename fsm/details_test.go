package fsm_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/fsm"
)

type order struct {
	Customer string  `json:"customer"`
	Items    []int   `json:"items"`
	Total    float64 `json:"total,omitempty"`
}

func TestNewDetails(t *testing.T) {
	for name, tt := range map[string]struct {
		from any
		want string
	}{
		"a struct":          {order{"ada", []int{3, 1}, 0}, `"customer":"ada","items":[3,1]`},
		"a pointer to it":   {&order{Customer: "ada"}, `"customer":"ada","items":null`},
		"a map":             {map[string]any{"z": 1, "a": map[string]any{"v": 1}}, `"a":{"v":1},"z":1`},
		"nothing":           {struct{}{}, ``},
		"JSON":              {json.RawMessage(" { \"b\" : [ 1 , 1e400 ], \"a\": null, \"b\":\"twice\" } "), `"b":[1,1e400],"a":null,"b":"twice"`},
		"HTML":              {map[string]string{"<a&b>": "<b>&amp;</b>"}, `"<a&b>":"<b>&amp;</b>"`},
		"odd names":         {json.RawMessage(`{"":1,"\u0061\u0022":2,"V":3,"Kind":4}`), `"":1,"a\"":2,"V":3,"Kind":4`},
		"escapes":           {json.RawMessage(`{"x":"\u0061\u003c\/\ud800"}`), `"x":"\u0061\u003c\/\ud800"`},
		"no UTF-8":          {json.RawMessage("{\"a\xff\xfe\":[\"b\xfe\xff\"]}"), "\"a\ufffd\ufffd\":[\"b\ufffd\ufffd\"]"},
		"a text, no UTF-8":  {map[string]string{"a\xff": "b\xfe"}, "\"a\ufffd\":\"b\\ufffd\""},
		"as long as may be": {map[string]string{"x": strings.Repeat("x", 8192-len(`"x":""`))}, `"x":"` + strings.Repeat("x", 8192-len(`"x":""`)) + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := fsm.NewDetails(tt.from)
			if d.String() != tt.want || err != nil || d.IsZero() != (tt.want == "") {
				t.Errorf("%v\n got %s\nwant %s", err, d, tt.want)
			}
			if again := details(t, "{"+d.String()+"}"); again != d { // they can be compared
				t.Errorf("again: %s", again)
			}
		})
	}
}

func TestNewDetailsRefuses(t *testing.T) {
	for name, v := range map[string]any{
		"nothing":             nil,
		"a nil map":           map[string]int(nil),
		"a text":              "text",
		"a number":            7,
		"a list":              []int{1},
		"a channel":           make(chan int),
		"what JSON has not":   map[string]float64{"x": math.NaN()},
		"half an object":      json.RawMessage(`{"x":1`),
		"two objects":         json.RawMessage(`{}{}`),
		"what is too long":    map[string]string{"x": strings.Repeat("x", 8192-len(`"x":""`)+1)},
		"what gets too long":  json.RawMessage(`{"x":"` + strings.Repeat("\xffa", 4000) + `"}`),
		"a name in disguise":  json.RawMessage(`{"k\u0069nd":"boot"}`),
		"one among others":    map[string]int{"a": 1, "seq": 2, "z": 3},
		"a text for a number": map[string]string{"v": "odd"},
	} {
		if d, err := fsm.NewDetails(v); !errors.Is(err, fsm.ErrDetails) || !d.IsZero() {
			t.Errorf("%s: %q, %v", name, d, err)
		}
	}
	for _, name := range constants(t, "fields.go") {
		_, err := fsm.NewDetails(map[string]any{name: nil})
		if !errors.Is(err, fsm.ErrDetails) || !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is read was written by others: it may be of any length.
func TestDetailsOf(t *testing.T) {
	long := `"x":"` + strings.Repeat("x", 1<<20) + `"`
	if d := details(t, "{"+long+"}"); d.String() != long {
		t.Errorf("%d bytes of %d", len(d.String()), len(long))
	}
	for _, object := range []string{``, `null`, `[]`, `{"x":}`, `{"x":1}x`, `{"note":"x"}`} {
		if d, err := fsm.DetailsOf([]byte(object)); !errors.Is(err, fsm.ErrDetails) || !d.IsZero() {
			t.Errorf("%s: %q, %v", object, d, err)
		}
	}
}

func TestDetailsDecode(t *testing.T) {
	want := order{"ada", []int{3, 1}, 9.5}
	d, err := fsm.NewDetails(want)
	if err != nil {
		t.Fatal(err)
	}
	var got order
	if err := d.Decode(&got); err != nil || !cmp.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := (fsm.Details{}).Decode(&got); err != nil || !cmp.Equal(got, want) {
		t.Errorf("none change something: %+v, %v", got, err)
	}
	var other struct {
		Customer int `json:"customer"`
	}
	if err := d.Decode(&other); err == nil {
		t.Error("a text was decoded as a number")
	}
}

func TestDetailsAll(t *testing.T) {
	d := details(t, ` { "a" : 1, "b,:\"{" : { "a" : [ "}]", 2 ] }, "\u0061" : "\\", "" : [], "c":"x,\"y\":1" } `)
	var got []string
	for name, value := range d.All() {
		got = append(got, name, value)
	}
	want := []string{"a", `1`, `b,:"{`, `{"a":["}]",2]}`, "a", `"\\"`, "", `[]`, "c", `"x,\"y\":1"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for range d.All() { // one is enough
		break
	}
	for name := range (fsm.Details{}).All() {
		t.Errorf("%q in none", name)
	}
	ordinary := details(t, `{"gen":1,"endpoint":"mq1:5672","queue":"orders"}`)
	if n := testing.AllocsPerRun(100, func() {
		for range ordinary.All() {
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
