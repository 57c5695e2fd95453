package wire

import (
	"bytes"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestValueBytes(t *testing.T) {
	tests := []struct {
		name  string
		value any
		bytes string
	}{
		{"true", true, "t\x01"},
		{"false", false, "t\x00"},
		{"int8", int8(-2), "b\xfe"},
		{"uint8", uint8(254), "B\xfe"},
		{"int16", int16(-2), "s\xff\xfe"},
		{"uint16", uint16(65534), "u\xff\xfe"},
		{"int32", int32(-2), "I\xff\xff\xff\xfe"},
		{"uint32", uint32(math.MaxUint32 - 1), "i\xff\xff\xff\xfe"},
		{"int64", int64(-2), "l\xff\xff\xff\xff\xff\xff\xff\xfe"},
		{"float32", float32(1), "f\x3f\x80\x00\x00"},
		{"float64", 1.0, "d\x3f\xf0\x00\x00\x00\x00\x00\x00"},
		{"decimal", Decimal{Scale: 2, Value: -2}, "D\x02\xff\xff\xff\xfe"},
		{"string", "abc", "S\x00\x00\x00\x03abc"},
		{"bytes", []byte("abc"), "x\x00\x00\x00\x03abc"},
		{"array", []any{true, nil}, "A\x00\x00\x00\x03t\x01V"},
		{"empty array", []any{}, "A\x00\x00\x00\x00"},
		{"time", time.Unix(-2, 0).UTC(), "T\xff\xff\xff\xff\xff\xff\xff\xfe"},
		{"table", Table{"b": true, "a": nil}, "F\x00\x00\x00\x07\x01aV\x01bt\x01"},
		{"empty table", Table{}, "F\x00\x00\x00\x00"},
		{"nil", nil, "V"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := appendValue(nil, tt.value); string(got) != tt.bytes {
				t.Errorf("appended % x\n    want % x", got, tt.bytes)
			}
			d := &decoder{left: []byte(tt.bytes)}
			got := d.value(0)
			if err := d.end(tt.name); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.value, got); diff != "" {
				t.Errorf("-want +decoded:\n%s", diff)
			}
			if v, ok := got.(time.Time); ok && v.Location() != time.UTC {
				t.Errorf("the location is %v", v.Location())
			}
		})
	}
}

// TestValuesThatComeBackDifferent: what is read or sent in another type than it has.
func TestValuesThatComeBackDifferent(t *testing.T) {
	zone := time.FixedZone("zone", 3600)
	for _, tt := range []struct {
		name      string
		sent, got any
	}{
		{"int", -2, int64(-2)},
		{"unsupported", struct{}{}, nil},
		{"uint64", uint64(2), nil},
		{"no table", Table(nil), Table{}},
		{"no array", []any(nil), []any{}},
		{"no bytes", []byte(nil), []byte{}},
		{"parts of a second", time.Date(2030, 1, 2, 3, 4, 5, 678, zone), time.Date(2030, 1, 2, 2, 4, 5, 0, time.UTC)},
	} {
		d := &decoder{left: appendValue(nil, tt.sent)}
		got := d.value(0)
		if err := d.end(tt.name); err != nil || !reflect.DeepEqual(tt.got, got) {
			t.Errorf("%s: got %#v, %v", tt.name, got, err)
		}
	}
	for _, tt := range []struct {
		name, bytes string
		got         any
	}{
		{"L", "L\xff\xff\xff\xff\xff\xff\xff\xfe", int64(-2)},
		{"bool that is not 1", "t\x02", true},
		{"key twice", "F\x00\x00\x00\x08\x01at\x01\x01at\x00", Table{"a": false}},
	} {
		d := &decoder{left: []byte(tt.bytes)}
		if got := d.value(0); !reflect.DeepEqual(tt.got, got) || d.fault != "" {
			t.Errorf("%s: got %#v, %s", tt.name, got, d.fault)
		}
	}
}

func TestMalformedValues(t *testing.T) {
	for name, payload := range map[string]string{
		"nothing":                         "",
		"unknown type":                    "Z",
		"number cut":                      "I\x00\x00\x00",
		"string larger than what is left": "S\x00\x00\x00\x02a",
		"string as large as can be":       "S\xff\xff\xff\xffabc",
		"table larger than what is left":  "F\x00\x00\x00\x09\x01aV",
		"table entry without value":       "F\x00\x00\x00\x02\x01a",
		"table key beyond the table":      "F\x00\x00\x00\x02\x02abV",
		"table value beyond the table":    "F\x00\x00\x00\x03\x01at\x01",
		"array value beyond the array":    "A\x00\x00\x00\x01t\x01",
		"unknown type inside":             "A\x00\x00\x00\x06F\x00\x00\x00\x02\x00Z",
	} {
		d := &decoder{left: []byte(payload)}
		d.value(0)
		if d.fault == "" {
			t.Errorf("%s: no fault", name)
		}
	}
}

func TestDepthLimit(t *testing.T) {
	nest := map[string]func(any) any{
		"tables": func(inner any) any { return Table{"": inner} },
		"arrays": func(inner any) any { return []any{inner} },
	}
	for name, wrap := range nest {
		t.Run(name, func(t *testing.T) {
			var v any
			for range maxDepth - 1 {
				v = wrap(v)
			}
			fits, tooDeep := Table{"": v}, Table{"": wrap(v)}
			if err := Validate(fits); err != nil {
				t.Error(err)
			}
			if err := Validate(tooDeep); err == nil {
				t.Error("too deep a table is valid")
			}
			m, err := ParseMethod(AppendMethod(nil, &QueueBind{Arguments: fits}))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(fits, m.(*QueueBind).Arguments) { // cmp takes 2^depth steps for arrays
				t.Error("the deepest table that is valid came back different")
			}
			if _, err := ParseMethod(AppendMethod(nil, &QueueBind{Arguments: tooDeep})); err == nil {
				t.Error("too deep a table was parsed")
			}
		})
	}
}

func TestTableClone(t *testing.T) {
	original := everyType()
	clone := Clone(original)
	if !reflect.DeepEqual(original, clone) {
		t.Errorf("-want +got:\n%s", cmp.Diff(original, clone))
	}
	clone["bytes"].([]byte)[0] = 9
	clone["array"].([]any)[3].(Table)["three"] = 3
	clone["array"].([]any)[0] = 9
	clone["table"].(Table)["inner"].(Table)["new"] = 1
	clone["new"] = 1
	if diff := cmp.Diff(everyType(), original); diff != "" {
		t.Errorf("the original changed, -want +got:\n%s", diff)
	}
	typed := Table{"table": Table(nil), "array": []any(nil), "bytes": []byte(nil)}
	if !reflect.DeepEqual(typed, Clone(typed)) || Clone(Table(nil)) != nil {
		t.Error("nil did not remain nil")
	}
}

func TestTableValidate(t *testing.T) {
	if err := Validate(everyType()); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]Table{
		"key":      {strings.Repeat("k", 256): nil},
		"value":    {"a": uint64(1)},
		"in table": {"a": Table{"b": struct{}{}}},
		"in array": {"a": []any{map[string]string{}}},
	} {
		if Validate(bad) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestMemoryIsInProportion decodes the tables that need most memory for their size.
func TestMemoryIsInProportion(t *testing.T) {
	const size, factor = 128 << 10, 128 // a nil is 1 byte on the wire and 16 in a slice, which was grown some times
	var keys, tables []byte
	for i := 0; len(keys) < size; i++ {
		keys = append(keys, 2, byte(i>>8), byte(i), 'V')
	}
	for i := 0; len(tables) < size; i++ {
		tables = append(tables, 2, byte(i>>8), byte(i), 'F', 0, 0, 0, 4, 1, 'a', 't', 1)
	}
	nested := bytes.Repeat([]byte("V"), size)
	for range maxDepth - 2 {
		nested = appendLongString([]byte{'A'}, nested)
	}
	for name, content := range map[string][]byte{
		"short keys":   keys,
		"small tables": tables,
		"nil":          appendLongString([]byte("\x00A"), bytes.Repeat([]byte("V"), size)),
		"empty arrays": appendLongString([]byte("\x00A"), bytes.Repeat([]byte("A\x00\x00\x00\x00"), size/5)),
		"nested":       append([]byte{0}, nested...),
		"faulty end":   append(keys, 1),
	} {
		t.Run(name, func(t *testing.T) {
			payload := appendLongString(nil, content)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			d := &decoder{left: payload}
			d.table(0)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > uint64(factor*len(payload)) {
				t.Errorf("%d bytes took %d, %d times as much", len(payload), used, used/uint64(len(payload)))
			}
		})
	}
}

func FuzzTable(f *testing.F) {
	content := func(t Table) []byte { return appendTable(nil, t)[4:] }
	f.Add(content(nil))
	f.Add(content(everyType()))
	for key, v := range everyType() {
		f.Add(content(Table{key: v}))
	}
	f.Add([]byte("\x01aL12345678\x01at\x07"))
	f.Add(bytes.Repeat([]byte("\x00F\x00\x00\x00\x00"), 100))
	f.Fuzz(func(t *testing.T, content []byte) {
		d := &decoder{left: appendLongString(nil, content)}
		table := d.table(0)
		if d.end("table") != nil {
			return
		}
		if err := Validate(table); err != nil {
			t.Errorf("decoded what is not valid: %v", err)
		}
		once := appendTable(nil, table)
		if len(once) > 4+len(content) {
			t.Errorf("grew from\n% x to\n% x", content, once)
		}
		d = &decoder{left: bytes.Clone(once)}
		again := d.table(0)
		if err := d.end("table"); err != nil {
			t.Fatal(err)
		}
		clear(d.left)
		if twice := appendTable(nil, again); !bytes.Equal(once, twice) {
			t.Errorf("first\n% x then\n% x", once, twice)
		}
		if cloned := appendTable(nil, Clone(table)); !bytes.Equal(once, cloned) {
			t.Errorf("the clone is\n% x not\n% x", cloned, once)
		}
	})
}
