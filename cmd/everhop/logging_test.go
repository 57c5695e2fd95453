package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// Whatever fields a line has, they come in the same order, the error first and the note last.
func TestConsoleFieldsOrder(t *testing.T) {
	order := []string{
		fsm.FieldError, consumer.FieldQueue, consumer.FieldEndpoint, consumer.FieldClass, consumer.FieldAttempt, consumer.FieldBackoffMS,
		consumer.FieldGeneration, fsm.FieldInStateMS, "delivery_tag", "message_id", fsm.FieldNote,
	}
	for subset := range 1 << len(order) {
		var want []string
		for i, field := range order {
			if subset&(1<<i) != 0 {
				want = append(want, field+"=x")
			}
		}
		got := consoleLine(t, func(e *zerolog.Event) {
			for _, field := range slices.Backward(want) {
				name, value, _ := strings.Cut(field, "=")
				e.Str(name, value)
			}
		})
		if diff := cmp.Diff(append([]string{"INF", "message"}, want...), got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestConsoleLeavesOut(t *testing.T) {
	tests := []struct {
		name   string
		fields func(*zerolog.Event)
		want   []string
	}{
		{"what the message says", func(e *zerolog.Event) {
			e.Str(fsm.FieldFrom, "a").Str(fsm.FieldTo, "b").Str(fsm.FieldTrigger, "c").Str(fsm.FieldNote, "message")
		}, []string{"INF", "message"}},
		{"what the note says", func(e *zerolog.Event) {
			e.Str(fsm.FieldName, consumer.NotePrefetchSet).Int(consumer.FieldPrefetch, 3).Int(consumer.FieldConcurrency, 2).
				Int(consumer.FieldReturnedUnstarted, 84).Int(consumer.FieldUnfinished, 1).Int(consumer.FieldSilenceMS, 4000).
				Int(consumer.FieldStalledMS, 5000).Str(fsm.FieldNote, "words")
		}, []string{"INF", "message", "note=words"}},
		{"what is for programs", func(e *zerolog.Event) {
			e.Int(fsm.FieldVersion, 1).Str(fsm.FieldKind, "k").Str(fsm.FieldRun, "r").Uint64(fsm.FieldSeq, 1).
				Str(fsm.FieldMachine, "m").Int64(fsm.FieldMonoNS, 1).Int(consumer.FieldCode, 404).Str(consumer.FieldScope, "s")
		}, []string{"INF", "message"}},
		{"what is empty", func(e *zerolog.Event) {
			e.Err(errors.New("")).Str("message_id", "").Int64(fsm.FieldInStateMS, 0).Int(consumer.FieldGeneration, 1)
		}, []string{"INF", "message", "gen=1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, consoleLine(t, tt.fields)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The message, too: ConsoleWriter does not quote it.
func TestConsoleIsClean(t *testing.T) {
	const evil = "a\x1b[2J\nb\u009b\u202e"
	var out bytes.Buffer
	logger := logFlags{level: "info", format: "console"}.logger(&out)
	logger.Warn().Str(fsm.FieldNote, evil).Str(consumer.FieldQueue, evil).Err(errors.New(evil)).Msg("message " + evil)
	if got := out.String(); strings.ContainsAny(got, "\x1b\u009b\u202e") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
}

// consoleLine is a line of the console log in words, without the time.
func consoleLine(t *testing.T, fields func(*zerolog.Event)) []string {
	t.Helper()
	var out bytes.Buffer
	logger := logFlags{level: "info", format: "console"}.logger(&out)
	e := logger.Info()
	fields(e)
	e.Msg("message")
	words := strings.Fields(out.String())
	if len(words) == 0 {
		t.Fatal("no line")
	}
	return words[1:]
}
