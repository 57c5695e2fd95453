package brokertest

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// What is published comes to the queue as it was, and from there to the dead letters with their headers.
func TestMessages(t *testing.T) {
	server := NewServer(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(server.DeclareQueue("dead", nil))
	must(server.DeclareQueue("work", map[string]any{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead", "x-max-length": 1}))
	published := Message{
		Body: []byte("one"), Headers: map[string]any{"deep": map[string]any{"list": []any{"a", true, map[string]any{}}}},
		ContentType: "text/plain", ContentEncoding: "identity", CorrelationID: "c", ReplyTo: "r", Expiration: "60000",
		MessageID: "1", Type: "t", UserID: "guest", AppID: "a", Priority: 3, Timestamp: time.Unix(1e9, 0).UTC(), Transient: true,
	}
	must(server.PublishMessage("work", published))
	want := published
	want.RoutingKey = "work"
	if got := server.Messages("work"); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
	must(server.Publish("work", "two"))
	if got := server.Messages("work"); len(got) != 1 || string(got[0].Body) != "two" || got[0].Transient {
		t.Errorf("in the queue: %+v", got)
	}
	dead := server.Messages("dead")
	if len(dead) != 1 || dead[0].Headers["x-first-death-reason"] != "maxlen" || dead[0].Headers["deep"] == nil {
		t.Fatalf("dead: %+v", dead)
	}
	if deaths, ok := dead[0].Headers["x-death"].([]any); !ok || deaths[0].(map[string]any)["queue"] != "work" {
		t.Errorf("x-death: %+v", dead[0].Headers["x-death"])
	}
	if got := server.Messages("nowhere"); got != nil {
		t.Errorf("in no queue: %+v", got)
	}
}

func TestPublishMessageRefuses(t *testing.T) {
	server := NewServer(t)
	if err := server.DeclareQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		queue string
		m     Message
		want  string
	}{
		{"nowhere", Message{}, "no queue 'nowhere'"},
		{"q", Message{Expiration: "soon"}, "invalid expiration 'soon'"},
		{"q", Message{Headers: map[string]any{"n": uint64(1)}}, "uint64"},
	} {
		if err := server.PublishMessage(tt.queue, tt.m); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v to %s: %v, want %q", tt.m, tt.queue, err, tt.want)
		}
	}
	if got := server.Messages("q"); len(got) != 0 {
		t.Errorf("in the queue: %+v", got)
	}
}
