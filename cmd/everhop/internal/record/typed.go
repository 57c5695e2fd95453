package record

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/everhop/everhop/broker"
)

// Headers have more types than JSON. A value is written as plainly as JSON can, which is what programs such as jq
// want; a type that does not follow from that stands beside it, in a tree of the same shape:
//
//	headers        {"n":7,"small":7,"x-death":[{"time":"2026-01-31T12:00:00Z"}]}
//	header_types   {"small":"int8","x-death":{"0":{"time":"timestamp"}}}
//
// So no header can be mistaken for a type, and none has to be escaped. Inside of headers the types would be all over
// the place: clients in JavaScript, Python and Java send few numbers as int64.
const (
	typeBytes     = "bytes"
	typeBase64    = "base64" // bytes that are not UTF-8
	typeTimestamp = "timestamp"
	typeDecimal   = "decimal"
	typeInt8      = "int8"
	typeInt16     = "int16"
	typeInt32     = "int32"
	typeInt64     = "int64" // beyond exact
	typeUint8     = "uint8"
	typeUint16    = "uint16"
	typeUint32    = "uint32"
	typeFloat32   = "float32"
	typeFloat64   = "float64" // a whole number, which looks like an int64, and what JSON does not have
)

// exact is up to where JavaScript and jq 1.6 know whole numbers.
const exact = 1 << 53

// writeTable returns a table for JSON, and the types that belong beside it, nil if there are none. It copies: the
// consumer may publish the headers again. It never fails: a message that could not be written would be poison.
func writeTable(t map[string]any) (values, types map[string]any) {
	values = make(map[string]any, len(t))
	for name, v := range t {
		name = writeText(name)
		value, kind := writeValue(v)
		values[name] = value
		types = beside(types, name, kind)
	}
	return values, types
}

func writeList(list []any) (values []any, types map[string]any) {
	values = make([]any, len(list))
	for i, v := range list {
		value, kind := writeValue(v)
		values[i] = value
		types = beside(types, strconv.Itoa(i), kind)
	}
	return values, types
}

func beside(types map[string]any, name string, kind any) map[string]any {
	if kind == nil {
		return types
	}
	if types == nil {
		types = map[string]any{}
	}
	types[name] = kind
	return types
}

// writeValue returns a value for JSON, and its type: a name, the types of what is in it, or nil.
func writeValue(v any) (value, kind any) {
	switch v := v.(type) {
	case string:
		return writeText(v), nil
	case []byte:
		if utf8.Valid(v) {
			return string(v), typeBytes
		}
		return base64.StdEncoding.EncodeToString(v), typeBase64
	case time.Time:
		return Time(v), typeTimestamp
	case broker.Decimal:
		return writeDecimal(v), typeDecimal
	case int8:
		return v, typeInt8
	case int16:
		return v, typeInt16
	case int32:
		return v, typeInt32
	case int64:
		if v < -exact || v > exact {
			return strconv.FormatInt(v, 10), typeInt64
		}
	case uint8:
		return v, typeUint8
	case uint16:
		return v, typeUint16
	case uint32:
		return v, typeUint32
	case float32:
		if name, ok := notInJSON(float64(v)); ok {
			return name, typeFloat32
		}
		return v, typeFloat32
	case float64:
		if name, ok := notInJSON(v); ok {
			return name, typeFloat64
		}
		if v == math.Trunc(v) {
			return v, typeFloat64
		}
	case map[string]any:
		return container(writeTable(v))
	case []any:
		return container(writeList(v))
	}
	return v, nil
}

func container[T any](values T, types map[string]any) (value, kind any) {
	if types == nil {
		return values, nil
	}
	return values, types
}

// readTable is what writeTable was given. What has a type and no value, since it was taken out, is none.
func readTable(values, types map[string]any) (map[string]any, error) {
	t := make(map[string]any, len(values))
	for name, value := range values {
		v, err := readValue(value, types[name])
		if err != nil {
			return nil, fmt.Errorf("[%.40q]%w", name, err)
		}
		if name, err = readText(name); err != nil {
			return nil, fmt.Errorf(": the name %w", err)
		}
		t[name] = v
	}
	return t, nil
}

func readList(values []any, types map[string]any) ([]any, error) {
	list := make([]any, len(values))
	for i, value := range values {
		var err error
		if list[i], err = readValue(value, types[strconv.Itoa(i)]); err != nil {
			return nil, fmt.Errorf("[%d]%w", i, err)
		}
	}
	return list, nil
}

// readValue takes what json.Decoder makes of a value, with UseNumber, and of its type. Its errors go behind a place.
func readValue(value, kind any) (any, error) {
	var types map[string]any
	switch kind := kind.(type) {
	case nil:
	case string:
		return readTyped(value, kind)
	case map[string]any:
		types = kind
	default:
		return nil, errors.New(": in header_types: expected the name of a type, or an object")
	}
	switch value := value.(type) {
	case map[string]any:
		return readTable(value, types)
	case []any:
		return readList(value, types)
	}
	if types != nil {
		return nil, errors.New(": header_types has the types of a table or a list for it, and it is neither")
	}
	switch value := value.(type) {
	case string:
		text, err := readText(value)
		if err != nil {
			return nil, fmt.Errorf(": %w", err)
		}
		return text, nil
	case json.Number:
		return readNumber(string(value))
	}
	return value, nil // true, false or null
}

// readNumber is an int64 if it is written as a whole number, else a float64.
func readNumber(text string) (any, error) {
	if strings.ContainsAny(text, ".eE") {
		return readFloat(text, 64)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, isNo(text, typeInt64)
	}
	return n, nil
}

// readTyped takes a number also as text, as int64 beyond exact are written.
func readTyped(value any, kind string) (any, error) {
	var text string
	switch value := value.(type) {
	case string:
		text = value
	case json.Number:
		text = value.String()
	default:
		return nil, fmt.Errorf(": header_types says %q, and it is neither text nor a number", kind)
	}
	switch kind {
	case typeBytes:
		return []byte(text), nil
	case typeBase64:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, isNo(text, kind)
		}
		return b, nil
	case typeTimestamp:
		t, err := readTime(text)
		if err != nil {
			return nil, isNo(text, kind)
		}
		return t, nil
	case typeDecimal:
		return readDecimal(text)
	case typeInt8:
		return signed[int8](text, kind, 8)
	case typeInt16:
		return signed[int16](text, kind, 16)
	case typeInt32:
		return signed[int32](text, kind, 32)
	case typeInt64:
		return signed[int64](text, kind, 64)
	case typeUint8:
		return unsigned[uint8](text, kind, 8)
	case typeUint16:
		return unsigned[uint16](text, kind, 16)
	case typeUint32:
		return unsigned[uint32](text, kind, 32)
	case typeFloat32:
		return readFloat(text, 32)
	case typeFloat64:
		return readFloat(text, 64)
	}
	return nil, fmt.Errorf(": header_types says %.40q, which is no type", kind)
}

func signed[T int8 | int16 | int32 | int64](text, kind string, bits int) (any, error) {
	n, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		return nil, isNo(text, kind)
	}
	return T(n), nil
}

func unsigned[T uint8 | uint16 | uint32](text, kind string, bits int) (any, error) {
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return nil, isNo(text, kind)
	}
	return T(n), nil
}

func readFloat(text string, bits int) (any, error) {
	f, err := strconv.ParseFloat(text, bits)
	name, special := notInJSON(f)
	if err != nil || special && text != name {
		return nil, isNo(text, fmt.Sprintf("float%d", bits))
	}
	if bits == 32 {
		return float32(f), nil
	}
	return f, nil
}
