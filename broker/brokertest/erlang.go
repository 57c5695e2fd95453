package brokertest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/everhop/everhop/broker/internal/wire"
)

// erlang prints a value of a table as RabbitMQ does in some reply texts: as a term of Erlang's. RabbitMQ breaks a long one into
// lines.
func erlang(value any, unicode bool) string {
	switch v := value.(type) {
	case nil:
		return "undefined"
	case string:
		return erlangBinary(v, unicode)
	case []byte:
		return erlangBinary(string(v), unicode)
	case float32:
		return erlangFloat(float64(v))
	case float64:
		return erlangFloat(v)
	case time.Time:
		return strconv.FormatInt(v.Unix(), 10)
	case wire.Decimal:
		return fmt.Sprintf("{%d,%d}", v.Scale, v.Value)
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = fmt.Sprintf("{%s,%s}", typeName(item), erlang(item, unicode))
		}
		return "[" + strings.Join(items, ",") + "]"
	case wire.Table:
		var items []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			items = append(items, fmt.Sprintf("{%s,%s,%s}", erlangBinary(name, unicode), typeName(v[name]), erlang(v[name], unicode)))
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	return fmt.Sprint(value)
}

// erlangBinary prints octets as text if all of them, or in Unicode the characters that they are, can be shown.
func erlangBinary(octets string, unicode bool) string {
	latin := make([]rune, len(octets))
	for i := range len(octets) {
		latin[i] = rune(octets[i])
	}
	characters := []rune(octets)
	switch {
	case octets == "":
		return "<<>>"
	case unicode && utf8.ValidString(octets) && isShown(characters, utf8.MaxRune):
		if len(characters) == len(octets) {
			return `<<"` + erlangEscapes.Replace(octets) + `">>`
		}
		return `<<"` + erlangEscapes.Replace(octets) + `"/utf8>>`
	case unicode && isShown(latin, 0xff):
		return `<<"` + erlangEscapes.Replace(string(latin)) + `">>`
	case isShown(latin, 0xff):
		return `<<"` + erlangEscapes.Replace(octets) + `">>`
	}
	numbers := make([]string, len(latin))
	for i, octet := range latin {
		numbers[i] = strconv.Itoa(int(octet))
	}
	return "<<" + strings.Join(numbers, ",") + ">>"
}

var erlangEscapes = strings.NewReplacer(`"`, `\"`, `\`, `\\`,
	"\n", `\n`, "\r", `\r`, "\t", `\t`, "\v", `\v`, "\b", `\b`, "\f", `\f`, "\x1b", `\e`)

// isShown tells whether Erlang takes characters for text: up to the last one that it can show, without those that
// control.
func isShown(characters []rune, last rune) bool {
	return !slices.ContainsFunc(characters, func(r rune) bool {
		return r > last || r > '~' && r < 0xa0 || r < ' ' && !strings.ContainsRune("\n\r\t\v\b\f\x1b", r)
	})
}

// erlangFloat takes the shorter of two ways to print a number, and always has a fraction.
func erlangFloat(f float64) string {
	fixed := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(fixed, ".") {
		fixed += ".0"
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent)
	if scientific := fmt.Sprintf("%se%d", mantissa, n); len(scientific) < len(fixed) {
		return scientific
	}
	return fixed
}
