package record

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/consumer"
)

// Written little by little, a line is the same as at once.
func TestStream(t *testing.T) {
	random := make([]byte, 100_000)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	for name, body := range map[string][]byte{
		"none":          nil,
		"small":         []byte("a <b> \u2028 \"c\"\n"),
		"large":         []byte("a" + strings.Repeat("€\u2028\x01\\", 10_000)),
		"large, ragged": []byte("ab" + strings.Repeat("😀", 10_000)),
		"no UTF-8":      {0xff},
		"bytes":         random,
	} {
		d := &consumer.Delivery{Body: body, RoutingKey: "q", Headers: map[string]any{"n": int8(1)}, Timestamp: time.Unix(1, 0), Type: "<t>"}
		var got, want bytes.Buffer
		if err := Stream(&got, d); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := Write(&want, d); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), got.String()); diff != "" {
			t.Errorf("%s: (-at once +little by little):\n%.500s", name, diff)
		}
	}
}
