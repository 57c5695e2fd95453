package record

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker"
)

// What JSON has is written as it is, and has no type beside it.
func TestWriteValue(t *testing.T) {
	tests := []struct {
		name        string
		v           any
		value, kind string
	}{
		{"nil", nil, `null`, ``},
		{"bool", true, `true`, ``},
		{"text", "a", `"a"`, ``},
		{"text that is not UTF-8", "\xff", `"base64:/w=="`, ``},
		{"text that looks like it", "base64:a", `"base64:YmFzZTY0OmE="`, ``},
		{"int64", int64(-7), `-7`, ``},
		{"largest int64 that all know", int64(exact), `9007199254740992`, ``},
		{"int64 beyond", int64(exact + 1), `"9007199254740993"`, `"int64"`},
		{"int64 beyond on the other side", int64(-exact - 1), `"-9007199254740993"`, `"int64"`},
		{"least int64", int64(math.MinInt64), `"-9223372036854775808"`, `"int64"`},
		{"int8", int8(-7), `-7`, `"int8"`},
		{"int16", int16(7), `7`, `"int16"`},
		{"int32", int32(7), `7`, `"int32"`},
		{"uint8", uint8(255), `255`, `"uint8"`},
		{"uint16", uint16(7), `7`, `"uint16"`},
		{"uint32", uint32(math.MaxUint32), `4294967295`, `"uint32"`},
		{"float64", 0.1, `0.1`, ``},
		{"small float64", 5e-324, `5e-324`, ``},
		{"whole float64", 7.0, `7`, `"float64"`},
		{"large float64", math.MaxFloat64, `1.7976931348623157e+308`, `"float64"`},
		{"negative zero", math.Copysign(0, -1), `-0`, `"float64"`},
		{"infinity", math.Inf(-1), `"-Infinity"`, `"float64"`},
		{"float32", float32(0.1), `0.1`, `"float32"`},
		{"infinite float32", float32(math.Inf(1)), `"Infinity"`, `"float32"`},
		{"decimal", broker.Decimal{Scale: 2, Value: -12345}, `"-123.45"`, `"decimal"`},
		{"decimal with zeros", broker.Decimal{Scale: 3, Value: 10}, `"0.010"`, `"decimal"`},
		{"negative decimal below 1", broker.Decimal{Scale: 1, Value: -5}, `"-0.5"`, `"decimal"`},
		{"decimal without digits behind", broker.Decimal{Value: math.MinInt32}, `"-2147483648"`, `"decimal"`},
		{"decimal with most digits", broker.Decimal{Scale: 255, Value: 1}, `"0.` + strings.Repeat("0", 254) + `1"`, `"decimal"`},
		{"bytes", []byte("text"), `"text"`, `"bytes"`},
		{"bytes that look like base64", []byte("base64:a"), `"base64:a"`, `"bytes"`},
		{"bytes that are not UTF-8", []byte{0xff}, `"/w=="`, `"base64"`},
		{"no bytes", []byte{}, `""`, `"bytes"`},
		{"time", time.Unix(1735787045, 0), `"2025-01-02T03:04:05Z"`, `"timestamp"`},
		{"milliseconds for seconds", time.Unix(1735787045000, 0), `"56974-11-25T20:03:20Z"`, `"timestamp"`},
		{"year 0", time.Unix(-62167219200, 0), `"0000-01-01T00:00:00Z"`, `"timestamp"`},
		{"before it", time.Unix(-62167219201, 0), `"-62167219201"`, `"timestamp"`},
		{"29 February in a far year", time.Date(12_000, 2, 29, 1, 2, 3, 0, time.UTC), `"12000-02-29T01:02:03Z"`, `"timestamp"`},
		{"last time", time.Unix(math.MaxInt64, 0), `"9223372036854775807"`, `"timestamp"`},
		{"first time", time.Unix(math.MinInt64, 0), `"-9223372036854775808"`, `"timestamp"`},
		{"table", map[string]any{"a": "b", "n": int64(1)}, `{"a":"b","n":1}`, ``},
		{"empty", []any{map[string]any{}, []any{}}, `[{},[]]`, ``},
		{"nested", map[string]any{"a": []any{"b", []any{int8(1)}}}, `{"a":["b",[1]]}`, `{"a":{"1":{"0":"int8"}}}`},
		{"a table that looks like types", map[string]any{"a": "int8", "0": "bytes"}, `{"0":"bytes","a":"int8"}`, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			value, kind := writeValue(tt.v)
			if got := asJSON(t, value); got != tt.value {
				t.Errorf("value %s, want %s", got, tt.value)
			}
			if got := asJSON(t, kind); got != tt.kind && (tt.kind != "" || kind != nil) {
				t.Errorf("type %s, want %s", got, tt.kind)
			}
			got, err := readValue(fromJSON(t, asJSON(t, value)), fromJSON(t, asJSON(t, kind)))
			if diff := cmp.Diff(tt.v, got, sameZero); err != nil || diff != "" {
				t.Errorf("read: %v\n%s", err, diff)
			}
		})
	}
}

// sameZero tells 0 from -0, and takes NaN for equal to itself.
var sameZero = cmp.Options{
	cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b }),
	cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b }),
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func fromJSON(t *testing.T, text string) (v any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// By hand, or by a program, more can be written than everhop writes.
func TestReadValue(t *testing.T) {
	tests := []struct {
		value, kind string
		want        any
		err         string
	}{
		{`1e3`, `null`, 1000.0, ""},
		{`1.0`, `null`, 1.0, ""},
		{`1.50`, `"decimal"`, broker.Decimal{Scale: 2, Value: 150}, ""},
		{`"7"`, `"int8"`, int8(7), ""},
		{`1735787045`, `"timestamp"`, time.Unix(1735787045, 0), ""},
		{`"2025-01-02T04:04:05+01:00"`, `"timestamp"`, time.Unix(1735787045, 0), ""},
		{`{}`, `{"gone":"int8"}`, map[string]any{}, ""},
		{`["a"]`, `{"1":"int8","x":"int8"}`, []any{"a"}, ""},

		{`9223372036854775808`, `null`, nil, `: "9223372036854775808" is no int64`},
		{`1e999`, `null`, nil, `: "1e999" is no float64`},
		{`128`, `"int8"`, nil, `: "128" is no int8`},
		{`-1`, `"uint16"`, nil, `: "-1" is no uint16`},
		{`1.5`, `"int32"`, nil, `: "1.5" is no int32`},
		{`"nan"`, `"float64"`, nil, `: "nan" is no float64`},
		{`1e39`, `"float32"`, nil, `: "1e39" is no float32`},
		{`"1e3"`, `"decimal"`, nil, `: "1e3" is no decimal`},
		{`"99999999999"`, `"decimal"`, nil, `: "99999999999" is no decimal`},
		{`"0.` + strings.Repeat("0", 256) + `"`, `"decimal"`, nil, `: "0.00000000000000000000000000000000000000" is no decimal`},
		{`"x"`, `"base64"`, nil, `: "x" is no base64`},
		{`"yesterday"`, `"timestamp"`, nil, `: "yesterday" is no timestamp`},
		{`"2025-13-01T00:00:00Z"`, `"timestamp"`, nil, `: "2025-13-01T00:00:00Z" is no timestamp`},
		{`"1000000-01-01T00:00:00Z"`, `"timestamp"`, nil, `: "1000000-01-01T00:00:00Z" is no timestamp`},
		{`true`, `"int8"`, nil, `: header_types says "int8", and it is neither text nor a number`},
		{`{}`, `"bytes"`, nil, `: header_types says "bytes", and it is neither text nor a number`},
		{`1`, `"int128"`, nil, `: header_types says "int128", which is no type`},
		{`1`, `{}`, nil, `: header_types has the types of a table or a list for it, and it is neither`},
		{`1`, `7`, nil, `: in header_types: expected the name of a type, or an object`},
		{`"base64:x"`, `null`, nil, `: "base64:x" has no base64 behind "base64:"`},
		{`"base64:YQ=="`, `null`, nil, `: "base64:YQ==": write it as "a"`},
		{`{"base64:YQ==":1}`, `null`, nil, `: the name "base64:YQ==": write it as "a"`},
		{`{"a":[0,{"b":300}]}`, `{"a":{"1":{"b":"uint8"}}}`, nil, `["a"][1]["b"]: "300" is no uint8`},
	}
	for _, tt := range tests {
		got, err := readValue(fromJSON(t, tt.value), fromJSON(t, tt.kind))
		if err == nil && tt.err == "" {
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s as %s:\n%s", tt.value, tt.kind, diff)
			}
		} else if err == nil || err.Error() != tt.err {
			t.Errorf("%s as %s: %v, %v", tt.value, tt.kind, got, err)
		}
	}
}
