package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
)

// target is what a test publishes to.
type target struct {
	bodies []string
	at     []time.Duration // since the first one
	begun  time.Time
	before func(number int) // sending
	answer func(body string) error
}

func (to *target) send(_ context.Context, m *broker.Message) (confirmation, error) {
	if to.before != nil {
		to.before(len(to.bodies) + 1)
	}
	if to.begun.IsZero() {
		to.begun = time.Now()
	}
	to.bodies, to.at = append(to.bodies, string(m.Body)), append(to.at, time.Since(to.begun))
	var err error
	if to.answer != nil {
		err = to.answer(string(m.Body))
	}
	return answered{err}, nil
}

type answered struct{ err error }

func (a answered) Wait(context.Context) error { return a.err }

func numbers(n int) string {
	var all strings.Builder
	for i := range n {
		all.WriteString(strconv.Itoa(i+1) + "\n")
	}
	return all.String()
}

func linesFor(t *testing.T, stdin string, args ...string) *input {
	t.Helper()
	f := newPublication()
	if err := f.command().ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return f.source("guest", strings.NewReader(stdin))
}

// The distance between two messages is that of --rate, and what was lost is not made up for by a burst.
func TestPublishRate(t *testing.T) {
	for rate, every := range map[string]time.Duration{"100/s": 10 * time.Millisecond, "1000/s": time.Millisecond, "6/m": 10 * time.Second, "3600/h": time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := newPublication()
			if err := f.command().ParseFlags([]string{"--queue", "q", "--rate", rate}); err != nil {
				t.Fatal(err)
			}
			const held = time.Minute
			to := &target{before: func(number int) {
				if number == 50 {
					time.Sleep(held)
				}
			}}
			if _, err := publishAll(t.Context(), to.send, f.source("", strings.NewReader(numbers(100))), &pace{every: f.every}, nil); err != nil {
				t.Fatal(err)
			}
			if len(to.at) != 100 {
				t.Fatalf("%s: %d messages", rate, len(to.at))
			}
			for i := range to.at[:49] {
				if want := time.Duration(i) * every; to.at[i] != want {
					t.Errorf("%s: message %d after %v, want %v", rate, i+1, to.at[i], want)
				}
			}
			for i := range to.at[49:] {
				want := 48*every + held + time.Duration(i)*every
				if got := to.at[49+i]; got < want-late || got > want+every {
					t.Errorf("%s: message %d after %v, want %v", rate, 50+i, got, want)
				}
			}
		})
	}
}

// A message that waits for its turn does not keep a stop.
func TestPublishRateStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 90*time.Second)
		defer stop()
		to := &target{}
		got, err := publishAll(ctx, to.send, linesFor(t, numbers(100), "--queue", "q"), &pace{every: time.Minute}, nil)
		if want := (tally{confirmed: 2, next: 3}); !errors.Is(err, errStopped) || got != want {
			t.Errorf("%v, %+v", err, got)
		}
		if !slices.Equal(to.bodies, []string{"1", "2"}) {
			t.Errorf("sent %q", to.bodies)
		}
	})
}

// What is wrong is named by its number, and nothing behind it is sent, or told to be confirmed.
func TestPublishStopsAtError(t *testing.T) {
	refused := errors.New("refused")
	tests := []struct {
		name, stdin string
		args        []string
		sent        []string
		next        int
		err         string
	}{
		{"no record", "{\"body\":\"1\"}\n\n{\"body\":\"2\"}\nx\n{\"body\":\"3\"}\n", []string{"--input", "jsonl", "--queue", "q"},
			[]string{"1", "2"}, 4, "line 4: not JSON: invalid character 'x' looking for beginning of value, at byte 1"},
		{"no record, from a line on", "x\n{\"body\":\"1\"}\n{}\n", []string{"--input", "jsonl", "--queue", "q", "--from-line", "2"},
			[]string{"1"}, 3, "line 3: neither body nor body_base64"},
		{"nowhere to go", `{"body":"1"}`, []string{"--input", "jsonl"},
			nil, 1, "line 1: it has neither exchange nor routing_key; --queue or --exchange says where to"},
		{"refused", "a\nbad\n", []string{"--queue", "q"}, []string{"a", "bad"}, 2, "line 2: refused"},
		{"refused, NUL", "a\x00b\x00bad", []string{"--queue", "q", "--null", "--from-line", "2"}, []string{"b", "bad"}, 3, "message 3: refused"},
		{"too short", "a\nb\n", []string{"--queue", "q", "--from-line", "4"}, nil, 4, "--from-line 4: the input ends with line 2"},
		{"file", "", []string{"--queue", "q", "--file", "/no/such/file"}, nil, 1, "file 1 (/no/such/file): no such file or directory"},
		{"too few files", "", []string{"--queue", "q", "--file", "a", "--from-line", "3"}, nil, 3, "--from-line 3: the input ends with file 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			to := &target{answer: func(body string) error {
				if body == "bad" {
					return refused
				}
				return nil
			}}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			got, err := publishAll(ctx, to.send, linesFor(t, tt.stdin, tt.args...), &pace{}, stop)
			if errorText(err) != tt.err || got.next != tt.next {
				t.Errorf("%v, next %d; want\n%s, next %d", err, got.next, tt.err, tt.next)
			}
			if !slices.Equal(to.bodies, tt.sent) {
				t.Errorf("sent %q", to.bodies)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
