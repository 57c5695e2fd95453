package record

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/everhop/everhop/broker"
)

// Read reads a message that Write has written, or that somebody made by hand. What is not there is not set;
// queue, redelivered and delivery_mode are ignored.
func Read(line []byte) (broker.Message, error) {
	if !utf8.Valid(line) {
		return broker.Message{}, errors.New("not UTF-8")
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(line, &all); err != nil {
		return broker.Message{}, explainJSON(err)
	}
	if hasHalfPair(line) {
		return broker.Message{}, errors.New(`text with half a surrogate pair (\ud800 to \udfff), which no text in UTF-8 has`)
	}
	r := members{left: all}
	m := broker.Message{
		Body:            r.body(),
		Exchange:        r.text("exchange"),
		RoutingKey:      r.text("routing_key"),
		MessageID:       r.text("message_id"),
		Headers:         r.headers(),
		Timestamp:       r.timestamp(),
		ContentType:     r.text("content_type"),
		ContentEncoding: r.text("content_encoding"),
		Priority:        r.priority(),
		CorrelationID:   r.text("correlation_id"),
		ReplyTo:         r.text("reply_to"),
		Expiration:      r.text("expiration"),
		Type:            r.text("type"),
		UserID:          r.text("user_id"),
		AppID:           r.text("app_id"),
	}
	m.NoMessageID, m.NoTimestamp = m.MessageID == "", m.Timestamp.IsZero()
	r.ignore("queue", "redelivered", "delivery_mode")
	return m, r.end()
}

func explainJSON(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, new(*json.UnmarshalTypeError)):
		return errors.New("not an object")
	case errors.As(err, &syntax) && syntax.Offset > 0:
		return fmt.Errorf("not JSON: %w, at byte %d", err, syntax.Offset)
	}
	return fmt.Errorf("not JSON: %w", err)
}

// hasHalfPair tells whether valid JSON holds the escape of a surrogate without the other one of its pair. Package json
// would read something else.
func hasHalfPair(line []byte) bool {
	for {
		i := bytes.IndexByte(line, '\\')
		if i < 0 {
			return false
		}
		first := escaped(line[i:])
		if first < 0 {
			line = line[i+len(`\n`):]
			continue
		}
		line = line[i+len(`\u0000`):]
		if !utf16.IsSurrogate(first) {
			continue
		}
		if utf16.DecodeRune(first, escaped(line)) == utf8.RuneError {
			return true
		}
		line = line[len(`\u0000`):]
	}
}

// escaped is the code of \u0000 at the beginning of a text, negative if there is none.
func escaped(text []byte) rune {
	if len(text) < len(`\u0000`) || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	code, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(code)
}

// members are those of a record that nobody has taken yet. After the first error the rest is nothing.
type members struct {
	left map[string]json.RawMessage
	err  error
}

func (r *members) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// take returns nil for null, too.
func (r *members) take(name string) json.RawMessage {
	raw := r.left[name]
	delete(r.left, name)
	if string(raw) == "null" {
		return nil
	}
	return raw
}

func (r *members) ignore(names ...string) {
	for _, name := range names {
		delete(r.left, name)
	}
}

func (r *members) end() error {
	if len(r.left) > 0 {
		r.fail("unknown: %.100q; 'everhop consume --help' tells what there is", slices.Sorted(maps.Keys(r.left)))
	}
	return r.err
}

// plain returns text as it stands there; nil if it does not.
func (r *members) plain(name string) []byte {
	raw := r.take(name)
	switch {
	case raw == nil:
		return nil
	case raw[0] != '"':
		r.fail("%s: expected text", name)
		return nil
	case bytes.IndexByte(raw, '\\') < 0: // most need no copy
		return raw[1 : len(raw)-1]
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		r.fail("%s: expected text", name)
	}
	return []byte(text)
}

func (r *members) text(name string) string {
	text, err := readText(string(r.plain(name)))
	if err != nil {
		r.fail("%s: %w", name, err)
	}
	return text
}

func (r *members) body() []byte {
	text, encoded := r.plain("body"), r.plain("body_base64")
	switch {
	case text != nil && encoded != nil:
		r.fail("both body and body_base64")
	case text == nil && encoded == nil:
		r.fail("neither body nor body_base64")
	case encoded != nil:
		body, err := base64.StdEncoding.DecodeString(string(encoded))
		if err != nil {
			r.fail("body_base64: expected base64")
		}
		return body
	}
	return text
}

func (r *members) priority() uint8 {
	raw := r.take("priority")
	if raw == nil {
		return 0
	}
	n, err := strconv.ParseUint(string(raw), 10, 8)
	if err != nil {
		r.fail("priority: expected a whole number from 0 to 255")
	}
	return uint8(n)
}

func (r *members) timestamp() time.Time {
	raw := r.take("timestamp")
	if raw == nil {
		return time.Time{}
	}
	t, err := readTime(strings.Trim(string(raw), `"`)) // or a number: seconds
	if err != nil {
		r.fail("timestamp: expected a time such as 2026-01-31T12:00:00Z, or seconds since 1970")
	}
	return t
}

func (r *members) headers() map[string]any {
	values, types := r.object("headers"), r.object("header_types")
	if len(values) == 0 || r.err != nil {
		return nil
	}
	headers, err := readTable(values, types)
	if err != nil {
		r.fail("headers%w", err)
	}
	return headers
}

func (r *members) object(name string) (object map[string]any) {
	raw := r.take(name)
	if raw == nil {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		r.fail("%s: expected an object", name)
	}
	return object
}
