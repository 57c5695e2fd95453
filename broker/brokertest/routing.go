package brokertest

import (
	"reflect"
	"slices"
	"strings"

	"github.com/everhop/everhop/broker/internal/wire"
)

// route returns the queues that a message goes to, each once, however many ways lead there.
func (x *exchange) route(msg *message) (queues []*queue) {
	if x.name == "" { // the default exchange: each queue is bound under its name
		msg.anyKey(func(key string) bool {
			if q := x.host.queues[key]; q != nil && !slices.Contains(queues, q) {
				queues = append(queues, q)
			}
			return false // there may be more
		})
		return queues
	}
	exchanges := []*exchange{x}
	for i := 0; i < len(exchanges); i++ { // it grows on the way
		var next []*exchange
		taken := false
		for _, b := range exchanges[i].bindings {
			if !exchanges[i].matches(b, msg) {
				continue
			}
			taken = true
			if b.exchange != nil {
				next = append(next, b.exchange)
			} else if !slices.Contains(queues, b.queue) {
				queues = append(queues, b.queue)
			}
		}
		if other := exchanges[i].alternate(); other != nil && !taken { // to another exchange is taken, even if that leads nowhere
			next = append(next, other)
		}
		for _, other := range next {
			if !slices.Contains(exchanges, other) {
				exchanges = append(exchanges, other)
			}
		}
	}
	return queues
}

func (x *exchange) matches(b *binding, msg *message) bool {
	switch x.kind {
	case "fanout":
		return true
	case "topic":
		pattern := words(b.key)
		return msg.anyKey(func(key string) bool { return matchTopic(pattern, words(key)) })
	case "headers":
		return matchHeaders(b.arguments, msg.properties.Headers)
	}
	return msg.anyKey(func(key string) bool { return b.key == key })
}

func words(key string) []string {
	if key == "" {
		return nil
	}
	return strings.Split(key, ".")
}

// matchTopic: * stands for one word, # for any number of them. Only the last # that was met may have to
// take one word more, so that no pattern takes longer than its length times that of the key.
func matchTopic(pattern, words []string) bool {
	p, w := 0, 0
	hash, taken := -1, 0 // the last #, and where the words after it begin
	for w < len(words) {
		switch {
		case p < len(pattern) && pattern[p] == "#":
			hash, taken = p, w
			p++
		case p < len(pattern) && (pattern[p] == "*" || pattern[p] == words[w]):
			p++
			w++
		case hash >= 0:
			taken++
			p, w = hash+1, taken
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == "#" {
		p++
	}
	return p == len(pattern)
}

// checkMatch refuses what x-match cannot be. Some versions print it in Unicode.
func checkMatch(arguments wire.Table, unicode bool) error {
	value, given := arguments["x-match"]
	mode, text := value.(string)
	switch {
	case !given:
	case !text:
		return refuse(preconditionFailed, "Invalid x-match field type %s (value %s); expected longstr", typeName(value), erlang(value, unicode))
	case !slices.Contains([]string{"all", "any", "all-with-x", "any-with-x"}, mode):
		return refuse(preconditionFailed, "Invalid x-match field value %s; expected all, any, all-with-x, or any-with-x", erlang(mode, unicode))
	}
	return nil
}

// matchHeaders compares the binding's arguments with the message's headers: all of them, or any. Those
// that begin with x- count only where x-match says so; an argument without a value wants the header to
// be there, whatever it is.
func matchHeaders(arguments, headers wire.Table) bool {
	mode, _ := arguments["x-match"].(string)
	any := strings.HasPrefix(mode, "any")
	for name, want := range arguments {
		if name == "x-match" || strings.HasPrefix(name, "x-") && !strings.HasSuffix(mode, "-with-x") {
			continue
		}
		have, there := headers[name]
		if match := there && (want == nil || sameValue(have, want)); match == any {
			return any
		}
	}
	return !any
}

// sameValue compares two values of a table. Integers are equal whatever their width.
func sameValue(a, b any) bool {
	if x, ok := integer(a); ok {
		y, ok := integer(b)
		return ok && x == y
	}
	return reflect.DeepEqual(a, b)
}

// integer reads the integers of a table. Types made of them are not among these: a time.Duration would
// pass for a number of who knows what.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	}
	return 0, false
}

// typeName is what RabbitMQ calls the type of a value in its reply texts.
func typeName(v any) string {
	switch v.(type) {
	case bool:
		return "bool"
	case int8:
		return "byte"
	case uint8:
		return "unsignedbyte"
	case int16:
		return "short"
	case uint16:
		return "unsignedshort"
	case int32:
		return "signedint"
	case uint32:
		return "unsignedint"
	case int64, int:
		return "long"
	case float32:
		return "float"
	case float64:
		return "double"
	case string:
		return "longstr"
	case []byte:
		return "binary"
	case []any:
		return "array"
	case wire.Table:
		return "table"
	case wire.Decimal:
		return "decimal"
	case nil:
		return "void"
	}
	return "timestamp"
}
