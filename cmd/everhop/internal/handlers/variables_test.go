package handlers

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

func TestEnvironment(t *testing.T) {
	d := &consumer.Delivery{
		Queue: "q", MessageID: "a\x00b", Redelivered: true, Timestamp: time.Date(2025, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)),
		DeliveryMode: 2, Priority: 7, Expiration: "60000", UserID: "guest",
		Headers: map[string]any{consumer.HeaderAttempts: int64(2), "tenant": "a"},
	}
	got := environment(handedOn([]string{"PATH=/bin", "EVERHOP_URL=amqp://u:pw@h/", "EVERHOP_HEADER_OF=another"}), d)
	want := []string{
		"PATH=/bin", "EVERHOP_URL=amqp://u:pw@h/", "EVERHOP_QUEUE=q", "EVERHOP_EXCHANGE=", "EVERHOP_ROUTING_KEY=", "EVERHOP_REDELIVERED=true",
		"EVERHOP_MESSAGE_ID=ab", "EVERHOP_CORRELATION_ID=", "EVERHOP_REPLY_TO=", "EVERHOP_CONTENT_TYPE=",
		"EVERHOP_CONTENT_ENCODING=", "EVERHOP_TYPE=", "EVERHOP_APP_ID=", "EVERHOP_USER_ID=guest", "EVERHOP_TIMESTAMP=2025-01-02T02:04:05Z",
		"EVERHOP_EXPIRATION=60000", "EVERHOP_PRIORITY=7", "EVERHOP_DELIVERY_MODE=2", "EVERHOP_ATTEMPT=3",
		"EVERHOP_HEADER_TENANT=a", "EVERHOP_HEADER_X_EVERHOP_ATTEMPTS=2", "EVERHOP_HEADERS_LEFT_OUT=0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Headers as variables and as fields of a request: what each value looks like, and how many do not fit.
func TestHeadersHandedOn(t *testing.T) {
	many := map[string]any{}
	for i := range 100 {
		many["h"+strings.Repeat("x", i)] = strings.Repeat("v", 1000)
	}
	tests := []struct {
		name              string
		headers           map[string]any
		variables, fields map[string]string
		leftOut           [2]int // of variables, of fields
	}{
		{"kinds", map[string]any{
			"nothing": nil, "yes": true, "n": int32(-5), "big": int64(1 << 60), "f": 0.5, "price": broker.Decimal{Scale: 2, Value: 1999},
			"at": time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC), "bytes": []byte("text"), "more": []byte{0xff}, "list": []any{int64(1), "<a>"}, "table": map[string]any{"k": "v"},
		}, map[string]string{
			"NOTHING": "", "YES": "true", "N": "-5", "BIG": "1152921504606846976", "F": "0.5", "PRICE": "19.99",
			"AT": "2025-01-02T03:04:05Z", "BYTES": "text", "MORE": "/w==", "LIST": `[1,"<a>"]`, "TABLE": `{"k":"v"}`,
		}, map[string]string{
			"Nothing": "", "Yes": "true", "N": "-5", "Big": "1152921504606846976", "F": "0.5", "Price": "19.99",
			"At": "2025-01-02T03:04:05Z", "Bytes": "text", "More": "/w==", "List": `[1,"<a>"]`, "Table": `{"k":"v"}`,
		}, [2]int{}},
		{"names", map[string]any{"x-a.b": "1", "ä": "2", "a\nb=c": "3"},
			map[string]string{"X_A_B": "1", "_": "2", "A_B_C": "3"}, map[string]string{"X-A-B": "1", "-": "2", "A-B-C": "3"}, [2]int{}},
		{"the same name", map[string]any{"x-a": "1", "x_a": "2", "X-A": "3"},
			map[string]string{"X_A": "3"}, map[string]string{"X-A": "3"}, [2]int{2, 2}},
		{"values", map[string]any{"a": "1\r\nHost: x", "b": " 50% ", "c": "ä", "d": "\x00"},
			map[string]string{"A": "1\r\nHost: x", "B": " 50% ", "C": "ä", "D": ""},
			map[string]string{"A": "1%0D%0AHost: x", "B": "%2050%25%20", "C": "%C3%A4", "D": "%00"}, [2]int{}},
		{"long", map[string]any{"a": strings.Repeat("x", 1025), "b": strings.Repeat("x", 5000), "c": "1"},
			map[string]string{"A": strings.Repeat("x", 1025), "C": "1"}, map[string]string{"C": "1"}, [2]int{1, 2}},
		{"many", many, nil, nil, [2]int{68, 96}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &consumer.Delivery{Headers: tt.headers}
			variables, fields := map[string]string{}, map[string]string{}
			left := [2]string{"0", "0"}
			for _, v := range environment(nil, d) {
				name, value, _ := strings.Cut(v, "=")
				if header, ok := strings.CutPrefix(name, headerVariable); ok {
					variables[header] = value
				} else if name == "EVERHOP_HEADERS_LEFT_OUT" {
					left[0] = value
				}
			}
			for name, values := range requestHeaders(d) {
				if header, ok := strings.CutPrefix(name, headerPrefix); ok {
					fields[header] = values[0]
				} else if name == "X-Everhop-Headers-Left-Out" {
					left[1] = values[0]
				}
			}
			if tt.variables != nil {
				if diff := cmp.Diff(tt.variables, variables); diff != "" {
					t.Errorf("variables:\n%s", diff)
				}
				if diff := cmp.Diff(tt.fields, fields); diff != "" {
					t.Errorf("fields:\n%s", diff)
				}
			}
			for i, n := range tt.leftOut {
				if got := atoi(t, left[i]); got != n {
					t.Errorf("%d left out (%d), want %d; there are %d", got, i, n, []int{len(variables), len(fields)}[i])
				}
			}
		})
	}
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// No message can have more in its environment, or in a request, than a system or a server takes.
func TestHeadersHandedOnAreBounded(t *testing.T) {
	headers := map[string]any{}
	for i := range 1000 {
		headers[strings.Repeat("n", 100)+strings.Repeat("o", i%150)+string(rune('a'+i/150))] = strings.Repeat("ä", i)
	}
	d := &consumer.Delivery{Headers: headers}
	size := 0
	for _, v := range environment(nil, d) {
		size += len(v) + 1
	}
	if size > 40<<10 {
		t.Errorf("an environment of %d bytes", size)
	}
	size = 0
	fields := requestHeaders(d)
	for name, values := range fields {
		size += len(name) + len(values[0]) + 4
	}
	if size > 7<<10 || len(fields) > 90 {
		t.Errorf("%d fields of %d bytes: %q", len(fields), size, slices.Sorted(maps.Keys(fields)))
	}
}

func TestTail(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"nothing", "", ""},
		{"lines", "Traceback:\n\tfile\r\nboom\n", "Traceback:\n\tfile\nboom"},
		{"control characters", "\x1b[31mred\u009b\x00\u202e", `\x1b[31mred\u009b\x00\u202e`},
		{"no UTF-8", "a\xffb", "a\uFFFDb"},
		{"half a character", "boom \xe2\x82", "boom"},
		{"long", "begin" + strings.Repeat("x", 5000) + "end", strings.Repeat("x", mostSaid-3) + "end"},
		{"long, not ASCII", strings.Repeat("€", 1000) + "!", strings.Repeat("€", (mostSaid-1)/3) + "!"},
		{"secrets", "cannot reach amqp://u:pw@h/ nor http://u:pw@h:80/a", "cannot reach amqp://***@h/ nor http://***@h:80/a"},
	}
	for _, tt := range tests {
		for _, step := range []int{1, 7, 1000, 10000} {
			var end tail
			for piece := range slices.Chunk([]byte(tt.text), step) {
				end.add(piece)
			}
			if got := end.text(); got != tt.want {
				t.Errorf("%s, by %d: %q, want %q", tt.name, step, got, tt.want)
			}
		}
	}
	if got, want := beginOf([]byte("begin"+strings.Repeat("€", 1000))), "begin"+strings.Repeat("€", (mostSaid-5)/3); got != want {
		t.Errorf("begin: %q", got)
	}
}
