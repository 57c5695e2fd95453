package handlers

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

const (
	requestPrefix = "X-Everhop-"
	headerPrefix  = requestPrefix + "Header-"
	// Of a message's headers. Servers refuse requests with more than 8 KiB of headers, or with more than 100, and no
	// message is to be refused for its headers. Its properties are at most some hundred bytes each.
	longestField, allFields, mostFields = 1 << 10, 4 << 10, 60
)

// propertyFields are the names of propertiesOf in requests.
var propertyFields = func() map[string]string {
	fields := map[string]string{}
	for _, p := range propertiesOf(new(consumer.Delivery)) {
		fields[p.name] = http.CanonicalHeaderKey(requestPrefix + strings.ReplaceAll(p.name, "_", "-"))
	}
	return fields
}()

var userAgent = []string{"everhop/" + broker.Version()}

// requestHeaders are those of a request with a message.
func requestHeaders(d *consumer.Delivery) http.Header {
	header := make(http.Header, 16+len(d.Headers))
	header["User-Agent"] = userAgent
	for _, p := range propertiesOf(d) {
		if p.value != "" {
			header[propertyFields[p.name]] = []string{fieldValue(p.value)}
		}
	}
	pass(header, "Content-Type", d.ContentType)
	pass(header, "Content-Encoding", d.ContentEncoding)
	for _, name := range []string{"traceparent", "tracestate"} {
		if text, ok := d.Headers[name].(string); ok {
			pass(header, http.CanonicalHeaderKey(name), text)
		}
	}
	fit := fitting{each: longestField, all: allFields}
	for _, h := range headersAs(d.Headers, fieldName) {
		if value := fieldValue(h.value); fit.added < mostFields && fit.add(headerPrefix+h.name, value) {
			header[headerPrefix+h.name] = []string{value}
		}
	}
	if left := len(d.Headers) - fit.added; left > 0 {
		header[requestPrefix+"Headers-Left-Out"] = []string{strconv.Itoa(left)}
	}
	return header
}

// pass passes a value on as it is, if it can stand in a request.
func pass(header http.Header, field, value string) {
	if value != "" && len(value) <= longestField && escapedOnly(value, isPlain) == value {
		header[field] = []string{value}
	}
}

// fieldValue is text as the value of a field. Percent-encoded is what is not printable ASCII, blanks at its begin and end,
// which servers take off, and the percent sign: whoever decodes it has the text.
func fieldValue(text string) string {
	inner := escapedOnly(text, func(c byte) bool { return isPlain(c) && c != '%' })
	if strings.HasPrefix(inner, " ") {
		inner = "%20" + inner[1:]
	}
	if strings.HasSuffix(inner, " ") {
		inner = inner[:len(inner)-1] + "%20"
	}
	return inner
}

func isPlain(c byte) bool { return ' ' <= c && c <= '~' }

func escapedOnly(text string, plain func(byte) bool) string {
	i := 0
	for i < len(text) && plain(text[i]) {
		i++
	}
	if i == len(text) {
		return text
	}
	const digits = "0123456789ABCDEF"
	b := append(make([]byte, 0, len(text)+16), text[:i]...)
	for ; i < len(text); i++ {
		if c := text[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}

// fieldName is a header's name in the name of a field, with a hyphen for what is no letter or digit.
func fieldName(name string) string {
	plain := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, name)
	return strings.TrimPrefix(http.CanonicalHeaderKey(headerPrefix+plain), headerPrefix)
}
