package main

import (
	"bytes"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/cmd/everhop/internal/record"
	"github.com/everhop/everhop/consumer"
)

// everyKind are messages with all that a message can have.
func everyKind() []brokertest.Message {
	kinds := map[string]any{
		"nil": nil, "bool": true, "int8": int8(-8), "uint8": uint8(8), "int16": int16(-16), "uint16": uint16(16),
		"int32": int32(-32), "uint32": uint32(32), "int64": int64(-64), "large": int64(math.MaxInt64), "float32": float32(0.1),
		"float64": 0.1, "whole": 7.0, "decimal": broker.Decimal{Scale: 2, Value: -12345}, "text": "a", "raw text": "\xff",
		"\xfe": "a name", "bytes": []byte("a"), "raw bytes": []byte{0xff}, "time": time.Unix(1735787045, 0).UTC(),
		"far": time.Unix(1735787045000, 0).UTC(), "base64:": "base64:",
	}
	nested := map[string]any{"table": kinds, "list": []any{int8(1), []any{}, map[string]any{"time": time.Unix(1, 0).UTC()}, nil}}
	return []brokertest.Message{
		{Body: []byte("a"), MessageID: "all", Headers: kinds, ContentType: "text/plain", ContentEncoding: "identity", CorrelationID: "c",
			ReplyTo: "r", Expiration: "3600000", Type: "t", UserID: "guest", AppID: "a", Priority: 7, Timestamp: time.Unix(1735787045, 0).UTC()},
		{Body: []byte("\x00\xff\n"), MessageID: "nested", Headers: nested, Timestamp: time.Unix(1735787045000, 0).UTC()},
		{MessageID: "\xff\xfe", CorrelationID: "\xff", Type: "\xfd", AppID: "base64:YQ=="},
		{Body: []byte("neither id nor time")},
	}
}

// moved is what becomes of a message on its way: only what publisher and broker say of their own is new.
func moved(all []brokertest.Message) []brokertest.Message {
	for i := range all {
		m := &all[i]
		m.Exchange, m.RoutingKey, m.Redelivered, m.Transient = "", "", false, false
		delete(m.Headers, broker.HeaderPublishID)
	}
	return all
}

// A queue is moved with all that it has, from one to the next and, where there is jq, through that.
func TestMoveQueue(t *testing.T) {
	server := brokertest.NewServer(t)
	for _, queue := range []string{"a", "b", "c"} {
		if err := server.DeclareQueue(queue, nil); err != nil {
			t.Fatal(err)
		}
	}
	all := everyKind()
	for _, m := range all {
		if err := server.PublishMessage("a", m); err != nil {
			t.Fatal(err)
		}
	}
	same := func(queue string) {
		t.Helper()
		if diff := cmp.Diff(moved(everyKind()), moved(server.Messages(queue)), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("queue %s:\n%s", queue, diff)
		}
	}
	same("a")
	first := move(t, server, "a", "b", len(all))
	same("b")
	second := move(t, server, "b", "c", len(all))
	same("c")
	if strings.Count(first, "\n") != len(all) || strings.Count(second, "\n") != len(all) {
		t.Errorf("lines:\n%s\n%s", first, second)
	}

	jq, err := exec.LookPath("jq")
	if err != nil {
		missing := t.Skip
		if os.Getenv("EVERHOP_TEST_REQUIRE") == "1" {
			missing = t.Fatal
		}
		missing("needs jq (Debian: apt-get install jq)")
	}
	cmd := exec.CommandContext(t.Context(), jq, "-c", ".")
	cmd.Stdin = strings.NewReader(first)
	through, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.DeclareQueue("d", nil); err != nil {
		t.Fatal(err)
	}
	publishTo(t, server, string(through), "--input", "jsonl", "--queue", "d")
	same("d")
}

// The three programs at work at once, as a shell runs them.
func TestMoveQueueThroughAPipe(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if _, missing := exec.LookPath("jq"); missing != nil {
		err = missing
	}
	if err != nil {
		missing := t.Skip
		if os.Getenv("EVERHOP_TEST_REQUIRE") == "1" {
			missing = t.Fatal
		}
		missing("needs sh and jq (Debian: apt-get install jq)")
	}
	server := brokertest.NewServer(t)
	for _, queue := range []string{"a", "b"} {
		if err := server.DeclareQueue(queue, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range everyKind() {
		if err := server.PublishMessage("a", m); err != nil {
			t.Fatal(err)
		}
	}
	line := `"$0" consume --queue a --count 4 --output jsonl | jq -c . | "$0" publish --input jsonl --queue b`
	cmd := exec.CommandContext(t.Context(), sh, "-c", line, os.Args[0])
	cmd.Env = append(os.Environ(), programEnv+"=1", urlVariable+"="+server.URL())
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if diff := cmp.Diff(moved(everyKind()), moved(server.Messages("b")), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("queue b:\n%s", diff)
	}
	if left := server.Messages("a"); len(left) > 0 {
		t.Errorf("%d messages are still in queue a", len(left))
	}
}

// RabbitMQ keeps all of it, too.
func TestMoveQueueRabbitMQ(t *testing.T) {
	var records []byte
	var want []broker.Message
	for _, m := range everyKind() {
		d := &consumer.Delivery{
			Body: m.Body, Headers: m.Headers, ContentType: m.ContentType, ContentEncoding: m.ContentEncoding, CorrelationID: m.CorrelationID,
			ReplyTo: m.ReplyTo, Expiration: m.Expiration, MessageID: m.MessageID, Type: m.Type, UserID: m.UserID, AppID: m.AppID,
			Priority: m.Priority, Timestamp: m.Timestamp,
		}
		var line bytes.Buffer
		if err := record.Write(&line, d); err != nil {
			t.Fatal(err)
		}
		records = append(records, line.Bytes()...)
		want = append(want, broker.Message{
			Body: m.Body, Headers: m.Headers, ContentType: m.ContentType, ContentEncoding: m.ContentEncoding, CorrelationID: m.CorrelationID,
			ReplyTo: m.ReplyTo, Expiration: m.Expiration, MessageID: m.MessageID, NoMessageID: m.MessageID == "", Type: m.Type,
			UserID: m.UserID, AppID: m.AppID, Priority: m.Priority, Timestamp: m.Timestamp, NoTimestamp: m.Timestamp.IsZero(),
		})
	}
	for range 2 {
		queue := newQueueOf(t, "quorum")
		everhop(t, 0, string(records), "publish", "--input", "jsonl", "--queue", queue).logs("4 messages confirmed\n")
		records = []byte(everhop(t, 0, "", "consume", "--queue", queue, "--count", "4", "--output", "jsonl").stdout.String())
		for i, line := range strings.SplitAfter(strings.TrimSpace(string(records)), "\n") {
			got, err := record.Read([]byte(line))
			if err != nil {
				t.Fatal(err)
			}
			got.RoutingKey = ""
			got.Headers = moved([]brokertest.Message{{Headers: got.Headers}})[0].Headers
			if diff := cmp.Diff(want[i], got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("message %d:\n%s", i, diff)
			}
		}
	}
}

// move returns the records.
func move(t *testing.T, server *brokertest.Server, from, to string, count int) string {
	t.Helper()
	var out, noise transcript
	if status := run(t.Context(), []string{"consume", "--url", server.URL(), "--queue", from, "--count", strconv.Itoa(count), "--output", "jsonl"},
		strings.NewReader(""), &out, &noise); status != 0 {
		t.Fatalf("exit status %d\n%s", status, &noise)
	}
	publishTo(t, server, out.String(), "--input", "jsonl", "--queue", to)
	return out.String()
}

func publishTo(t *testing.T, server *brokertest.Server, stdin string, args ...string) {
	t.Helper()
	var out transcript
	if status := run(t.Context(), append([]string{"publish", "--url", server.URL()}, args...), strings.NewReader(stdin), &out, &out); status != 0 {
		t.Fatalf("%q: exit status %d\n%s", args, status, &out)
	}
}

// What a broker has added stays behind, as when a consumer publishes a message again; and the user is told of in a
// header if it is another one, whom the broker would not believe.
func TestMoveLeavesBehind(t *testing.T) {
	server := oneQueue(t)
	publishTo(t, server, `{"body":"a","user_id":"other","exchange":"gone","headers":{"x-death":[{"queue":"w"}],"x-delivery-count":3,`+
		`"x-acquired-count":4,"x-stream-offset":5,"CC":["q"],"x-first-death-queue":"w","own":1}}`, "--input", "jsonl", "--queue", "q")
	publishTo(t, server, `{"body":"b","user_id":"guest","routing_key":"q"}`, "--input", "jsonl")
	got := moved(server.Messages("q"))
	want := []brokertest.Message{
		{Body: []byte("a"), Headers: map[string]any{consumer.HeaderCC: []any{"q"}, "x-first-death-queue": "w", "own": int64(1), consumer.HeaderUserID: "other"}},
		{Body: []byte("b"), UserID: "guest"},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestPublishInputs(t *testing.T) {
	folder := t.TempDir()
	var files []string
	for i, body := range []string{"one\n", "", "t\x00\nh\xff"} {
		files = append(files, filepath.Join(folder, strconv.Itoa(i)))
		if err := os.WriteFile(files[i], []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, stdin string
		args        []string
		want        []string
	}{
		{"lines", "a\nb\n", []string{"--input", "lines"}, []string{"a", "b"}},
		{"lines from 2", "a\nb\nc\n", []string{"--from-line", "2"}, []string{"b", "c"}},
		{"lines from behind the end", "a\nb\n", []string{"--from-line", "3"}, nil},
		{"NUL", "a\nb\x00\x00c", []string{"--null"}, []string{"a\nb", "", "c"}},
		{"files", "not this", []string{"--file", files[0], files[1], files[2]}, []string{"one\n", "", "t\x00\nh\xff"}},
		{"files, each with its flag", "", []string{"--file", files[2], "--file", files[0]}, []string{"t\x00\nh\xff", "one\n"}},
		{"files from 3", "", []string{"--from-line", "3", "--file", files[0], files[1], files[2]}, []string{"t\x00\nh\xff"}},
		{"records from 2", "no record\n" + `{"body":"a","exchange":"x"}`, []string{"--input", "jsonl", "--from-line", "2"}, []string{"a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := oneQueue(t)
			publishTo(t, server, tt.stdin, append([]string{"--queue", "q"}, tt.args...)...)
			var got []string
			for _, m := range server.Messages("q") {
				got = append(got, string(m.Body))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Flags are for every message, and go over what a record says; what is not given stays.
func TestPublishProperties(t *testing.T) {
	flags := []string{"--header", "tenant=a=b", "--header", "n:int=-5", "--header", "f:float=1", "--header", "t:bool=true",
		"--header", "x:text=1", "--header", "a:int:text=5", "--header", "odd:kind=v", "--header", "twice=1", "--header", "twice=2",
		"--content-type", "ct", "--content-encoding", "ce", "--priority", "0", "--expiration", "1m", "--message-id", "id",
		"--correlation-id", "", "--reply-to", "r", "--type", "t", "--app-id", "a", "--queue", "q"}
	headers := map[string]any{"tenant": "a=b", "n": int64(-5), "f": 1.0, "t": true, "x": "1", "a:int": "5", "odd:kind": "v", "twice": "2"}
	want := brokertest.Message{Headers: headers, ContentType: "ct", ContentEncoding: "ce", Expiration: "60000", MessageID: "id",
		ReplyTo: "r", Type: "t", AppID: "a"}
	server := oneQueue(t)
	publishTo(t, server, "1\n2\n", flags...)
	publishTo(t, server, `{"body":"1","priority":9,"correlation_id":"c","message_id":"own","headers":{"n":7,"mine":true}}`, append(flags, "--input", "jsonl")...)
	publishTo(t, server, `{"body":"1","priority":9,"correlation_id":"c","message_id":"own","type":"o"}`, "--queue", "q", "--input", "jsonl", "--app-id", "a")
	got := moved(server.Messages("q"))
	if len(got) != 4 || got[0].Timestamp.IsZero() || !got[2].Timestamp.IsZero() {
		t.Fatalf("%d messages: %v", len(got), got)
	}
	ignored := cmpopts.IgnoreFields(brokertest.Message{}, "Body", "Timestamp")
	for i := range got[:3] {
		if i == 2 {
			headers["mine"] = true
		}
		if diff := cmp.Diff(want, got[i], ignored); diff != "" {
			t.Errorf("message %d:\n%s", i, diff)
		}
	}
	if diff := cmp.Diff(brokertest.Message{Priority: 9, CorrelationID: "c", MessageID: "own", Type: "o", AppID: "a"}, got[3], ignored, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

// Without --message-id each line has an id of its own, and with an empty one there is none.
func TestPublishMessageID(t *testing.T) {
	server := oneQueue(t)
	publishTo(t, server, "1\n2\n", "--queue", "q")
	publishTo(t, server, "3\n", "--queue", "q", "--message-id=")
	got := server.Messages("q")
	if len(got) != 3 || got[0].MessageID == "" || got[0].MessageID == got[1].MessageID || got[2].MessageID != "" {
		t.Errorf("%v", got)
	}
}

// Where records go: flags go over what they say, one by one.
func TestPublishRecordsTo(t *testing.T) {
	tests := []struct{ args, exchange, key string }{
		{"", "x", "k"},
		{"--queue q", "", "q"},
		{"--exchange y", "y", "k"},
		{"--exchange=", "", "k"},
		{"--routing-key l", "x", "l"},
		{"--exchange y --routing-key l", "y", "l"},
		{"--exchange y --routing-key=", "y", ""},
	}
	for _, tt := range tests {
		in := linesFor(t, "", append(strings.Fields(tt.args), "--input", "jsonl")...)
		m, err := in.message([]byte(`{"body":"","exchange":"x","routing_key":"k"}`))
		if err != nil || m.Exchange != tt.exchange || m.RoutingKey != tt.key {
			t.Errorf("%q: %q, %q, %v", tt.args, m.Exchange, m.RoutingKey, err)
		}
	}
}

func TestUserOf(t *testing.T) {
	tests := []struct{ urls, want string }{
		{"amqp://h", "guest"},
		{"amqp://u:p@h/v", "u"},
		{"amqps://a%40b:p@h:1,g:2/v?verify=verify_peer", "a@b"},
		{"amqp://h/v@w", "guest"},
		{"amqp://u@h amqp://u:p@g", "u"},
		{"amqp://u@h amqp://v@g", ""},
		{"amqp://u@h amqp://g", ""},
	}
	for _, tt := range tests {
		if got := userOf(strings.Fields(tt.urls)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.urls, got, tt.want)
		}
	}
}

// A message that cannot be published says what to do.
func TestPublishHints(t *testing.T) {
	server := oneQueue(t)
	tests := []struct{ args, want string }{
		{"--queue none", `line 1: unroutable: there is no queue "none" (exchange "", routing key "none"); check its name, or declare it first; 0 messages confirmed, line 1 is the first that is not` + "\n"},
		{"--exchange amq.direct --routing-key k", `line 1: unroutable: no queue is bound to the exchange "amq.direct" for the routing key "k"; check both, or bind a queue first; 0 messages`},
		{"--exchange none", `check the name of the exchange, or declare it first; 0 messages`},
		{"--queue q --header h=" + strings.Repeat("x", 140_000), `send fewer or shorter headers, or raise frame_max at the broker; 0 messages`},
	}
	for _, tt := range tests {
		var out transcript
		status := run(t.Context(), append([]string{"publish", "--url", server.URL()}, strings.Fields(tt.args)...), strings.NewReader("a\n"), &out, &out)
		if status != 1 || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%.60s: exit status %d, %s", tt.args, status, &out)
		}
	}
}
