package consumer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

func contains(text string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

func TestConfigProblems(t *testing.T) {
	good := func() consumer.Config {
		return consumer.Config{
			URLs:          []string{"amqp://127.0.0.1"},
			Subscriptions: []consumer.Subscription{{Queue: "q", Handler: ignore}},
		}
	}
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		name  string
		spoil func(*consumer.Config)
		want  []string
	}{
		{"nothing wrong", func(*consumer.Config) {}, nil},
		{"empty", func(c *consumer.Config) { *c = consumer.Config{} }, []string{"URLs", "Subscriptions"}},
		{"bad URL", func(c *consumer.Config) { c.URLs[0] = "http://x" }, []string{"amqp://"}},
		{"negative durations", func(c *consumer.Config) { c.DrainTimeout, c.GracePeriod = -1, -1 }, []string{"DrainTimeout", "GracePeriod"}},
		{"heartbeat below a second", func(c *consumer.Config) { c.Heartbeat = time.Millisecond }, []string{"Heartbeat"}},
		{"back-off upside down", func(c *consumer.Config) { c.ReviveBackoff.Initial, c.ReviveBackoff.Max = time.Minute, time.Second }, []string{"Backoff.Max"}},
		{"negative budget", func(c *consumer.Config) { c.MaxReviveAttempts = -1 }, []string{"MaxReviveAttempts"}},
		{"no handler, no queue", func(c *consumer.Config) { c.Subscriptions[0] = consumer.Subscription{} }, []string{"Subscriptions[0].Handler"}},
		{"no queue", func(c *consumer.Config) { c.Subscriptions[0].Queue = "" }, []string{"Subscriptions[0].Queue"}},
		{"prefetch", func(c *consumer.Config) { c.Subscriptions[0].Prefetch = 70000 }, []string{"Subscriptions[0].Prefetch"}},
		{"concurrency", func(c *consumer.Config) { c.Subscriptions[0].Concurrency = -1 }, []string{"Subscriptions[0].Concurrency"}},
		{"delivery limit", func(c *consumer.Config) { c.Subscriptions[0].DeliveryLimit = -2 }, []string{"Subscriptions[0].DeliveryLimit"}},
		{"arguments that AMQP cannot carry", func(c *consumer.Config) {
			c.Subscriptions[0].Arguments = map[string]any{"x": struct{}{}}
		}, []string{"Subscriptions[0].Arguments"}},
		{"a long virtual host", func(c *consumer.Config) {
			c.URLs = append(c.URLs, "amqp://127.0.0.1/"+long)
		}, []string{"URL 2", "the virtual host", "256 bytes, and 255 is the most"}},
		{"long names", func(c *consumer.Config) {
			s := &c.Subscriptions[0]
			c.Name, s.Queue, s.ConsumerTag, s.Retry.ParkingQueue = long, long, long, long
			s.Bindings = []broker.Binding{{Exchange: long, RoutingKey: long}}
		}, []string{"Name", "Subscriptions[0].Queue", "Subscriptions[0].ConsumerTag", "Subscriptions[0].Retry.ParkingQueue",
			"Subscriptions[0].Bindings[0].Exchange", "Subscriptions[0].Bindings[0].RoutingKey"}},
		{"a name too long to make a parking queue of", func(c *consumer.Config) {
			c.Subscriptions[0].Queue = strings.Repeat("q", 250)
		}, []string{"Subscriptions[0].Retry.ParkingQueue", "257 bytes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := good()
			c.spoil(&config)
			before := config
			_, err := consumer.New(config)
			if (err == nil) != (c.want == nil) {
				t.Fatalf("New: %v; want mention of %q", err, c.want)
			}
			if err != nil && !contains(err.Error(), c.want...) {
				t.Errorf("New: %v; want mention of %q", err, c.want)
			}
			ignoreFuncs := cmpopts.IgnoreTypes(consumer.Handler(nil), zerolog.Logger{})
			if diff := cmp.Diff(before, config, ignoreFuncs); diff != "" {
				t.Errorf("New changed the caller's value:\n%s", diff)
			}
		})
	}
}

// TestLogFields: a log line has the names of the journal, so that the log can be read as one.
func TestLogFields(t *testing.T) {
	var full fsm.Event
	var why consumer.Evidence
	fill(reflect.ValueOf(&full).Elem())
	fill(reflect.ValueOf(&why).Elem())
	full.Kind, full.Evidence = fsm.KindTransition, why.Event()
	full.Count, full.Via, full.Back = 0, "", "" // of what a ring folds, which is never logged
	var buffer bytes.Buffer
	consumer.LogLines(zerolog.New(&buffer))(full)
	var line, event map[string]any
	if err := json.Unmarshal(buffer.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &event); err != nil {
		t.Fatal(err)
	}
	delete(event, fsm.FieldTime) // the logger's
	delete(line, zerolog.LevelFieldName)
	delete(line, zerolog.MessageFieldName)
	if diff := cmp.Diff(event, line); diff != "" {
		t.Errorf("journal and log differ (-journal +log):\n%s", diff)
	}
}

func fill(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("text")
		case reflect.Int, reflect.Int64:
			f.SetInt(7)
		case reflect.Uint64:
			f.SetUint(7)
		case reflect.Struct:
			if f.Type() != reflect.TypeFor[time.Time]() && f.Type() != reflect.TypeFor[fsm.Details]() {
				fill(f)
			}
		}
	}
}

func TestLogLevels(t *testing.T) {
	for _, c := range []struct {
		event fsm.Event
		want  string
	}{
		{fsm.Event{Kind: fsm.KindTransition, Trigger: consumer.DrainTimeout}, "debug"},
		{fsm.Event{Kind: fsm.KindTransition, Trigger: consumer.HeartbeatOK}, "debug"},
		{fsm.Event{Kind: fsm.KindTransition, Trigger: consumer.Connected}, "info"},
		{fsm.Event{Kind: fsm.KindTransition, Trigger: consumer.Revived}, "info"},
		{fsm.Event{Kind: fsm.KindTransition, Trigger: consumer.ConnectionError}, "warn"},
		{fsm.Event{Kind: fsm.KindTransition, Trigger: consumer.HeartbeatFailed}, "warn"},
		{fsm.Event{Kind: fsm.KindTransition, Trigger: consumer.ReviveFailed, Evidence: consumer.Evidence{Attempt: 4}.Event()}, "warn"},
		{fsm.Event{Kind: fsm.KindTransition, Trigger: consumer.ReviveFailed, Evidence: consumer.Evidence{Attempt: 5}.Event()}, "debug"},
		{fsm.Event{Kind: fsm.KindTransition, Trigger: consumer.FatalError}, "error"},
		{fsm.Event{Kind: fsm.KindTransition, Trigger: consumer.RetriesExhausted}, "error"},
		{fsm.Event{Kind: fsm.KindRejected, Trigger: consumer.Connect}, "warn"},
		{fsm.Event{Kind: fsm.KindNote}, "info"},
	} {
		var buffer bytes.Buffer
		consumer.LogLines(zerolog.New(&buffer))(c.event)
		if !strings.Contains(buffer.String(), `"level":"`+c.want+`"`) {
			t.Errorf("%s %s: %s; want %s", c.event.Kind, c.event.Trigger, buffer.String(), c.want)
		}
	}
}

// Every class that Run gives up on has advice for the human who reads the error.
func TestErrorSaysWhatToDo(t *testing.T) {
	for _, class := range []broker.Class{broker.Auth, broker.VHost, broker.Precondition, broker.TLS, broker.NotFound, broker.Network} {
		err := &consumer.Error{State: consumer.Connecting, Class: class, Endpoint: "rabbit:5672", Err: context.Canceled}
		if text := err.Error(); !contains(text, "Connecting", string(class), "rabbit:5672", context.Canceled.Error()) ||
			strings.HasSuffix(text, context.Canceled.Error()) {
			t.Errorf("class %s: %s", class, text)
		}
	}
}
