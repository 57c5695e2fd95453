package consumer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// A detail is in the text of the error, and so in the header of what is parked; in the log it is a field of its own, once.
func TestDetail(t *testing.T) {
	exit := errors.New("exit status 3")
	said := consumer.Detail(exit, "stderr", "first line\nno such customer: 7")
	for name, test := range map[string]struct {
		err    error
		header string
		want   map[string]any
	}{
		"plain": {said, "exit status 3: first line\nno such customer: 7", map[string]any{
			"error": "exit status 3", "stderr": "first line\nno such customer: 7",
		}},
		"wrapped": {fmt.Errorf("command: %w; what now?", consumer.Permanent(said)), "command: exit status 3: first line\nno such customer: 7; what now?", map[string]any{
			"error": "command: exit status 3; what now?", "stderr": "first line\nno such customer: 7",
		}},
		"two": {consumer.Detail(fmt.Errorf("here: %w", consumer.Detail(exit, "inner", "1")), "outer", "2"), "here: exit status 3: 1: 2", map[string]any{
			"error": "here: exit status 3", "inner": "1", "outer": "2",
		}},
		"two of one name": {consumer.Detail(fmt.Errorf("here: %w", consumer.Detail(exit, "stderr", "1")), "stderr", "2"), "here: exit status 3: 1: 2", map[string]any{
			"error": "here: exit status 3", "stderr": "1\n2",
		}},
		"another text": {silent{said}, "another text", map[string]any{"error": "another text"}},
		"nothing said": {consumer.Detail(exit, "stderr", ""), "exit status 3", map[string]any{"error": "exit status 3"}},
		"without any":  {exit, "exit status 3", map[string]any{"error": "exit status 3"}},
		"first of both": {errors.Join(said, errors.New("more")), "exit status 3: first line\nno such customer: 7\nmore", map[string]any{
			"error": "exit status 3\nmore", "stderr": "first line\nno such customer: 7",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				if err := errors.Join(server.DeclareQueue("work", nil), server.Publish("work", "m")); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				var log bytes.Buffer
				c, err := consumer.New(consumer.Config{
					URLs: []string{server.URL()}, Dial: server.Dial, Name: "test", Logger: zerolog.New(zerolog.SyncWriter(&log)),
					Subscriptions: []consumer.Subscription{{
						Queue: "work", Retry: consumer.Retry{Attempts: 1},
						Handler: func(context.Context, *consumer.Delivery) error { cancel(); return test.err },
					}},
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Run(ctx); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // for the log
				parked := server.Messages("work.parked")
				if len(parked) != 1 || parked[0].Headers[consumer.HeaderError] != test.header {
					t.Fatalf("parked: %v, want %q", parked, test.header)
				}
				if diff := cmp.Diff(test.want, failureIn(t, log.String())); diff != "" {
					t.Errorf("the log line (-want +got):\n%s", diff)
				}
			})
		})
	}
	if consumer.Detail(nil, "stderr", "said") != nil || !errors.Is(said, exit) {
		t.Error("Detail of nil, or of an error that is looked for")
	}
}

// silent has a text of its own.
type silent struct{ error }

func (silent) Error() string { return "another text" }

func (s silent) Unwrap() error { return s.error }

// failureIn is what the log says of a failure, and of no other thing.
func failureIn(t *testing.T, log string) map[string]any {
	t.Helper()
	var found map[string]any
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "handler failed") {
			continue
		}
		if found != nil {
			t.Errorf("told twice:\n%s", log)
		}
		if err := json.Unmarshal([]byte(line), &found); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"level", "message", "queue", "gen", "delivery_tag", "message_id", "attempt", "consumer", "time"} {
			delete(found, name)
		}
	}
	return found
}
