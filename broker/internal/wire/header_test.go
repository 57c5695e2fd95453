package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// headerStart is class 60, weight 0 and a body of 5 bytes.
const headerStart = "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05"

func TestHeaderBytes(t *testing.T) {
	tests := []struct {
		name       string
		properties Properties
		bytes      string
	}{
		{"none", Properties{}, "\x00\x00"},
		{"content type", Properties{ContentType: "a"}, "\x80\x00\x01a"},
		{"content encoding", Properties{ContentEncoding: "a"}, "\x40\x00\x01a"},
		{"headers", Properties{Headers: Table{"a": nil}}, "\x20\x00\x00\x00\x00\x03\x01aV"},
		{"empty headers", Properties{Headers: Table{}}, "\x20\x00\x00\x00\x00\x00"},
		{"delivery mode", Properties{DeliveryMode: 2}, "\x10\x00\x02"},
		{"priority", Properties{Priority: 9}, "\x08\x00\x09"},
		{"correlation id", Properties{CorrelationID: "a"}, "\x04\x00\x01a"},
		{"reply to", Properties{ReplyTo: "a"}, "\x02\x00\x01a"},
		{"expiration", Properties{Expiration: "1"}, "\x01\x00\x011"},
		{"message id", Properties{MessageID: "a"}, "\x00\x80\x01a"},
		{"timestamp", Properties{Timestamp: time.Unix(258, 0).UTC()}, "\x00\x40\x00\x00\x00\x00\x00\x00\x01\x02"},
		{"epoch", Properties{Timestamp: time.Unix(0, 0).UTC()}, "\x00\x40\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"type", Properties{Type: "a"}, "\x00\x20\x01a"},
		{"user id", Properties{UserID: "a"}, "\x00\x10\x01a"},
		{"app id", Properties{AppID: "a"}, "\x00\x08\x01a"},
		{"cluster id", Properties{ClusterID: "a"}, "\x00\x04\x01a"},
		{"all", allProperties(), "\xff\xfc\x02ct\x02ce\x00\x00\x00\x03\x01aV\x01\x02\x02ci\x02rt\x021e\x02mi" +
			"\x00\x00\x00\x00\x00\x00\x00\x07\x02ty\x02ui\x02ai\x02cl"},
		{"empty", Properties{Empty: contentType | deliveryMode | priority | appID}, "\x98\x08\x00\x00\x00\x00"},
		{"all empty", Properties{Headers: Table{}, Empty: 0xfffc &^ headers, Timestamp: time.Time{}},
			"\xff\xfc\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xf1\x88\x6e\x09\x00\x00\x00\x00\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := Header{BodySize: 5, Properties: tt.properties}
			if got := AppendHeader([]byte("x"), h); string(got) != "x"+headerStart+tt.bytes {
				t.Errorf("appended % x\n    want % x", got[1:], headerStart+tt.bytes)
			}
			got, err := ParseHeader([]byte(headerStart + tt.bytes))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(h, got) {
				t.Errorf("-want +parsed:\n%s", cmp.Diff(h, got))
			}
		})
	}
}

func allProperties() Properties {
	return Properties{
		ContentType: "ct", ContentEncoding: "ce", Headers: Table{"a": nil}, DeliveryMode: 1, Priority: 2,
		CorrelationID: "ci", ReplyTo: "rt", Expiration: "1e", MessageID: "mi", Timestamp: time.Unix(7, 0).UTC(),
		Type: "ty", UserID: "ui", AppID: "ai", ClusterID: "cl",
	}
}

// TestRemovedPropertyIsNotSent is what dead-lettering does with the expiration.
func TestRemovedPropertyIsNotSent(t *testing.T) {
	h, err := ParseHeader(AppendHeader(nil, Header{Properties: allProperties()}))
	if err != nil {
		t.Fatal(err)
	}
	h.Properties.Expiration = ""
	h.Properties.Headers = nil
	h, err = ParseHeader(AppendHeader(nil, h))
	if err != nil {
		t.Fatal(err)
	}
	want := allProperties()
	want.Expiration, want.Headers = "", nil
	if diff := cmp.Diff(want, h.Properties); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseHeaderRefuses(t *testing.T) {
	tests := map[string]string{
		"another class":   "\x00\x32\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00",
		"second flags":    headerStart + "\x00\x01\x00\x00",
		"undefined flag":  headerStart + "\x00\x02",
		"a byte too many": headerStart + "\x00\x00\x00",
		"faulty headers":  headerStart + "\x20\x00\x00\x00\x00\x03\x01aZ",
	}
	all := AppendHeader(nil, Header{Properties: allProperties()})
	for n := range all {
		tests[string(all[:n])] = string(all[:n])
	}
	for name, payload := range tests {
		h, err := ParseHeader([]byte(payload))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Subject != "content header" || !reflect.DeepEqual(h, Header{}) {
			t.Errorf("%q: %+v, %v", name, h, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(AppendHeader(nil, Header{}))
	f.Add(AppendHeader(nil, Header{BodySize: 1 << 40, Properties: allProperties()}))
	f.Add(AppendHeader(nil, Header{Properties: Properties{Headers: everyType(), Empty: 0xfffc}}))
	f.Add(AppendHeader(nil, Header{Properties: Properties{Headers: Table{}, DeliveryMode: 2}}))
	f.Add([]byte(headerStart + "\xff\xff"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		h, err := ParseHeader(payload)
		if err != nil {
			return
		}
		once := AppendHeader(nil, h)
		if len(once) > len(payload) || !bytes.Equal(once[4:14], payload[4:14]) {
			t.Errorf("from\n% x to\n% x", payload, once)
		}
		again, err := ParseHeader(once)
		if err != nil {
			t.Fatalf("%+v does not parse: %v", h, err)
		}
		if twice := AppendHeader(nil, again); !bytes.Equal(once, twice) {
			t.Errorf("first\n% x then\n% x", once, twice)
		}
		if again.Properties.present() != h.Properties.present() {
			t.Errorf("%016b became %016b", h.Properties.present(), again.Properties.present())
		}
	})
}
