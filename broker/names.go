package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
)

// maxNesting is how deep tables and arrays may lie in a table: what was read can be sent again, and no more.
const maxNesting = wire.MaxDeliveredDepth

// CheckName returns what keeps a text from being a name at the broker (of a queue, an exchange, a virtual
// host or a consumer, a routing key, an argument), nil if nothing does: a name is a short string of AMQP
// 0-9-1, of at most 255 bytes, and UTF-8. The error does not repeat the text, nor say whose name it is.
func CheckName(name string) error {
	if err := checkShortString(name); err != nil {
		return err
	}
	if !utf8.ValidString(name) {
		return errors.New("not UTF-8")
	}
	return nil
}

// checkShortString is for what is sent as a short string but may hold any bytes: a message's properties.
func checkShortString(text string) error {
	if len(text) > wire.MaxShortString {
		return fmt.Errorf("%d bytes, and %d is the most", len(text), wire.MaxShortString)
	}
	return nil
}

// checkArguments returns what keeps the table from being sent, and those of its values that are names from
// being names, each behind its place: ["x-dead-letter-exchange"]: not UTF-8.
func checkArguments(arguments map[string]any, names ...string) []string {
	problems := checkTable(arguments, CheckName, 0)
	for _, key := range names {
		if name, ok := arguments[key].(string); ok {
			if err := CheckName(name); err != nil {
				problems = append(problems, place(key)+": "+err.Error())
			}
		}
	}
	slices.Sort(problems)
	return problems
}

// checkHeaders is checkArguments for a message's headers, whose names may come from anywhere, as one error.
func checkHeaders(headers map[string]any) error {
	problems := checkTable(headers, checkShortString, 0)
	if len(problems) == 0 {
		return nil
	}
	slices.Sort(problems)
	return errors.New(strings.Join(problems, ", "))
}

func place(key string) string { return fmt.Sprintf("[%.40q]", key) }

// checkValue allocates nothing where nothing is wrong.
func checkValue(v any, checkKey func(string) error, depth int) (problems []string) {
	switch v := v.(type) {
	case nil, bool, int8, int16, int32, int64, int, uint8, uint16, uint32, float32, float64, string, []byte,
		time.Time, Decimal, amqp.Decimal:
	case map[string]any:
		return checkTable(v, checkKey, depth)
	case amqp.Table:
		return checkTable(v, checkKey, depth)
	case []any:
		if depth > maxNesting {
			return []string{tooDeep}
		}
		for i, element := range v {
			for _, problem := range checkValue(element, checkKey, depth+1) {
				problems = append(problems, fmt.Sprintf("[%d]%s", i, problem))
			}
		}
	default:
		return []string{fmt.Sprintf(": a %T cannot be sent; convert it to bool, int64, float64, string, []byte, time.Time, "+
			"[]any or map[string]any", v)}
	}
	return problems
}

func checkTable(t map[string]any, checkKey func(string) error, depth int) (problems []string) {
	if depth > maxNesting {
		return []string{tooDeep}
	}
	for key, element := range t {
		if err := checkKey(key); err != nil {
			problems = append(problems, place(key)+": as a key: "+err.Error())
		}
		for _, problem := range checkValue(element, checkKey, depth+1) {
			problems = append(problems, place(key)+problem)
		}
	}
	return problems
}

var tooDeep = fmt.Sprintf(": nested more than %d deep", maxNesting)
