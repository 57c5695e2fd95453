package broker

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCheckName(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"", ""},
		{strings.Repeat("x", 255), ""},
		{strings.Repeat("x", 256), "256 bytes, and 255 is the most"},
		{strings.Repeat("é", 127), ""},
		{strings.Repeat("é", 128), "256 bytes, and 255 is the most"},
		{"a\xffb", "not UTF-8"},
		{"\xe9t\xe9", "not UTF-8"}, // Latin-1
	} {
		if got := fmt.Sprint(CheckName(test.name)); got != test.want && (got != "<nil>" || test.want != "") {
			t.Errorf("%q: %s, want %q", test.name, got, test.want)
		}
	}
}

// Every text in a subscription is a name. One that is added must be checked as well, and this test finds it.
func TestEveryNameOfASubscriptionIsChecked(t *testing.T) {
	for what, bad := range map[string]string{"long": strings.Repeat("x", 256), "not UTF-8": "\xff"} {
		nth, more := 0, true
		for ; more; nth++ {
			s := Subscription{
				Queue: "q", Prefetch: 1, ConsumerTag: "t", Arguments: map[string]any{"a": "b"},
				Declare:   &QueueOptions{Arguments: map[string]any{"a": "b"}},
				Exchanges: []Exchange{{Name: "x", Kind: "topic", Arguments: map[string]any{"a": "b"}}},
				Bindings:  []Binding{{Exchange: "x", RoutingKey: "k", Arguments: map[string]any{"a": "b"}}},
			}
			var field string
			if field, more = spoil(reflect.ValueOf(&s).Elem(), "", bad, new(int), nth); !more {
				break
			}
			problems := s.problems()
			if len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), field) {
				t.Errorf("%s is %s: %v", field, what, problems)
			}
		}
		if nth < 9 {
			t.Errorf("found %d texts and tables", nth)
		}
	}
}

// The same goes for a message, whose properties may hold any bytes.
func TestEveryTextOfAMessageIsChecked(t *testing.T) {
	for nth := range 12 {
		var m Message
		field, _ := spoil(reflect.ValueOf(&m).Elem(), "", strings.Repeat("x", 256), new(int), nth)
		if err := m.Check(); err == nil || !strings.HasPrefix(err.Error(), "broker: publish: "+field) || !strings.Contains(err.Error(), ": 256 bytes") {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := (&Message{Exchange: "x", RoutingKey: "\xff"}).Check(); err == nil || !strings.Contains(err.Error(), "RoutingKey: not UTF-8") {
		t.Errorf("a routing key: %v", err)
	}
	if err := (&Message{CorrelationID: "\xff", Headers: map[string]any{"\xff": "\xff"}}).Check(); err != nil {
		t.Errorf("bytes that others sent: %v", err)
	}
}

// spoil puts bad into the nth text, or into a table as a key, and returns the path to it.
func spoil(v reflect.Value, path, bad string, seen *int, nth int) (field string, found bool) {
	switch v.Kind() {
	case reflect.String, reflect.Map:
		*seen++
		if *seen-1 != nth {
			return "", false
		}
		if v.Kind() == reflect.String {
			v.SetString(bad)
		} else {
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(reflect.ValueOf(bad), reflect.ValueOf("value"))
		}
		return path, true
	case reflect.Pointer:
		return spoil(v.Elem(), path, bad, seen, nth)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			return spoil(v.Index(0), path+"[0]", bad, seen, nth)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			break
		}
		for i := range v.NumField() {
			field := strings.TrimPrefix(path+"."+v.Type().Field(i).Name, ".")
			if field, found := spoil(v.Field(i), field, bad, seen, nth); found {
				return field, true
			}
		}
	}
	return "", false
}

func TestCheckArguments(t *testing.T) {
	long := strings.Repeat("x", 256)
	deep := func(levels int) any {
		var v any = "bottom"
		for range levels {
			v = []any{v}
		}
		return v
	}
	cycle := map[string]any{}
	cycle["again"] = cycle
	for _, test := range []struct {
		name      string
		arguments map[string]any
		want      []string // how each problem begins
	}{
		{"none", nil, nil},
		{"all that AMQP has", map[string]any{
			"a": nil, "b": true, "c": int8(1), "d": int16(1), "e": int32(1), "f": int64(1), "g": 1, "h": uint8(1), "i": uint16(1),
			"j": uint32(1), "k": float32(1), "l": 1.0, "m": "\xff", "n": []byte{1}, "o": time.Now(),
			"p": []any{map[string]any{"q": []any{}}}, strings.Repeat("x", 255): long,
		}, nil},
		{"a type that it has not", map[string]any{"a": uint64(1)}, []string{`["a"]: a uint64 cannot be sent`}},
		{"one of the caller's", map[string]any{"a": time.Second}, []string{`["a"]: a time.Duration cannot be sent`}},
		{"a list of texts", map[string]any{"a": []string{}}, []string{`["a"]: a []string cannot be sent`}},
		{"deep down", map[string]any{"a": []any{0, map[string]any{"b": struct{}{}}}}, []string{`["a"][1]["b"]: a struct {} cannot be sent`}},
		{"all of them", map[string]any{"a": 1i, "b": map[string]any{"c": 1i}}, []string{`["a"]: `, `["b"]["c"]: `}},
		{"a long key", map[string]any{long: 1}, []string{`["` + long[:40] + `"]: as a key: 256 bytes, and 255 is the most`}},
		{"a long key deep down", map[string]any{"a": []any{map[string]any{long: 1}}}, []string{`["a"][0]["xxx`}},
		{"a key in Latin-1", map[string]any{"\xe9": 1}, []string{`["\xe9"]: as a key: not UTF-8`}},
		{"nested as deep as can be", map[string]any{"a": deep(maxNesting)}, nil},
		{"nested deeper", map[string]any{"a": deep(maxNesting + 1)}, []string{`["a"][0]`}},
		{"in itself", cycle, []string{`["again"]["again"]`}},
		{"a value that is a name", map[string]any{"x-dead-letter-exchange": long}, []string{`["x-dead-letter-exchange"]: 256 bytes`}},
		{"a routing key", map[string]any{"x-dead-letter-routing-key": "\xff"}, []string{`["x-dead-letter-routing-key"]: not UTF-8`}},
		{"no name in place of one", map[string]any{"x-dead-letter-exchange": 1}, nil}, // for the broker to refuse
	} {
		t.Run(test.name, func(t *testing.T) {
			got := QueueOptions{Arguments: test.arguments}.problems()
			if !slices.EqualFunc(got, test.want, func(got, want string) bool { return strings.HasPrefix(got, "Arguments"+want) }) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// An exchange's argument that is a name is checked as a queue's are.
func TestCheckAlternateExchange(t *testing.T) {
	s := Subscription{Queue: "q", Prefetch: 1, Exchanges: []Exchange{{
		Name: "x", Kind: "topic", Arguments: map[string]any{"alternate-exchange": strings.Repeat("x", 256)},
	}}}
	if got := fmt.Sprint(s.problems()); !strings.Contains(got, `Exchanges[0].Arguments["alternate-exchange"]: 256 bytes`) {
		t.Error(got)
	}
}

// Each message that is published passes here.
func TestCheckHeadersAllocatesNothing(t *testing.T) {
	headers := map[string]any{"a": "b", "c": map[string]any{"d": []any{int64(1)}}}
	if n := testing.AllocsPerRun(100, func() {
		if err := checkHeaders(headers); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
