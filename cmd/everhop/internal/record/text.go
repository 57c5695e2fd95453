package record

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Value is a header's value as a record has it, without its type: for package json.
func Value(v any) any {
	value, _ := writeValue(v)
	return value
}

// Text is a header's value as text, for where there are no types. Tables and lists are JSON, as in a record; bytes that are
// not UTF-8 are base64.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		if utf8.Valid(v) {
			return string(v)
		}
		return base64.StdEncoding.EncodeToString(v)
	}
	value := Value(v)
	if text, ok := value.(string); ok {
		return text
	}
	var line bytes.Buffer
	if err := encode(&line, value); err != nil { // there is no such value
		return ""
	}
	return strings.TrimSuffix(line.String(), "\n")
}
