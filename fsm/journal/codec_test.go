package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// tester is a testing.TB or a rapid.T.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// byJSON is what encoding/json makes of an event, without HTML escapes.
func byJSON(t tester, e fsm.Event) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// oddTexts are hard on an encoder.
var oddTexts = []string{
	"", "plain", `"quoted\"`, "a\x00b\x1f\x7f\b\f\n\r\t", "<&>", "\u2028\u2029", "\xff\xfe half \xc3", "日本語", "\U0001F6AA", "\ufffd", `,"crc":"00000000"}`,
}

// drawEvent draws any event whose texts are not cut.
func drawEvent(t *rapid.T) fsm.Event {
	text := func(name string) string {
		return rapid.OneOf(rapid.SampledFrom(oddTexts), rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, name)
	}
	return fsm.Event{
		V: fsm.Schema, Kind: fsm.Kind(text("kind")), Seq: rapid.Uint64().Draw(t, "seq"), Run: text("run"), Machine: text("machine"),
		Time:   time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC(),
		MonoNS: rapid.Int64().Draw(t, "mono"), From: fsm.State(text("from")), To: fsm.State(text("to")), Trigger: fsm.Trigger(text("trigger")),
		InStateMS: rapid.Int64().Draw(t, "ms"), Table: text("table"),
		Evidence: fsm.Evidence{
			Generation: rapid.Uint64().Draw(t, "gen"), Attempt: rapid.Int().Draw(t, "attempt"), BackoffMS: rapid.Int64().Draw(t, "backoff"),
			Endpoint: text("endpoint"), Queue: text("queue"), Scope: text("scope"), Class: text("class"),
			Code: rapid.Int().Draw(t, "code"), Error: text("error"), Note: text("note"),
		},
	}
}

// agrees checks encoder and decoder against encoding/json.
func agrees(t tester, e fsm.Event) {
	t.Helper()
	want := byJSON(t, e)
	got := string(journal.AppendEvent(nil, &e))
	if got != want {
		t.Fatalf("encoded\n%s, by encoding/json\n%s", got, want)
	}
	var back fsm.Event
	if err := json.Unmarshal([]byte(want), &back); err != nil {
		t.Fatal(err)
	}
	var d journal.Decoder
	for range 2 { // the second time with names that were kept
		decoded, err := d.Decode([]byte(got))
		if diff := cmp.Diff(back, decoded); diff != "" || err != nil {
			t.Fatalf("decoded %s: %v (-json +own)\n%s", got, err, diff)
		}
	}
}

func TestEncodingAgreesWithJSON(t *testing.T) {
	for _, text := range oddTexts {
		agrees(t, fsm.Event{V: fsm.Schema, Kind: fsm.Kind(text), From: fsm.State(text), Evidence: fsm.Evidence{Error: text}})
	}
	rapid.Check(t, func(t *rapid.T) { agrees(t, drawEvent(t)) })
}

// What the journal writes is read without encoding/json, or it would be slow.
func TestOrdinaryRecordsAreDecodedFast(t *testing.T) {
	for _, e := range doorLog(t) {
		e.Error = `Exception (320) Reason: "CONNECTION_FORCED" für alle`
		line, _ := journal.Encode(&e, 0)
		line = bytes.TrimSuffix(line, []byte("\n"))
		if got, ok := journal.DecodeFast(line); !ok || got != e {
			t.Errorf("%s: %v, %+v", line, ok, got)
		}
	}
}

func TestTextsAreCut(t *testing.T) {
	for _, long := range []string{strings.Repeat("x", journal.MaxText+1), strings.Repeat("é", journal.MaxText), strings.Repeat("\xff", 5<<20), strings.Repeat("\x01", 5<<20)} {
		e := fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Run: long, Machine: long, From: fsm.State(long), To: fsm.State(long), Trigger: fsm.Trigger(long), Table: long}
		e.Endpoint, e.Queue, e.Scope, e.Class, e.Error, e.Note = long, long, long, long, long, long
		line, _ := journal.Encode(&e, 0)
		if len(line) > journal.MaxLine {
			t.Errorf("a line of %d bytes", len(line))
		}
		got, err := journal.DecodeAny(line)
		if err != nil || !strings.HasSuffix(got.Error, "…") || !utf8.ValidString(got.Error) {
			t.Errorf("%v: %q...", err, got.Error[len(got.Error)-10:])
		}
		if strings.Contains(long, "é") && strings.Contains(got.Error, "\ufffd") {
			t.Error("cut within a rune")
		}
	}
	exact := strings.Repeat("x", journal.MaxText)
	agrees(t, fsm.Event{V: fsm.Schema, Kind: "k", Evidence: fsm.Evidence{Error: exact}})
}

func TestTimesJSONCannotHold(t *testing.T) {
	for _, odd := range []time.Time{{}, time.Unix(1<<40, 0), time.Unix(-1<<40, 0), time.Now(), time.Date(2024, 1, 1, 0, 0, 0, 0, time.FixedZone("", 30*3600))} {
		e := fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Time: odd}
		got, err := journal.DecodeAny(journal.AppendEvent(nil, &e))
		if y := odd.UTC().Year(); err != nil || y >= 0 && y <= 9999 && !got.Time.Equal(odd) {
			t.Errorf("%v: read back as %v, %v", odd, got.Time, err)
		}
	}
}

func TestDecodeUnusual(t *testing.T) {
	for line, want := range map[string]fsm.Event{
		` { "kind" : "note", "v":1 , "seq": 3 } `:                         {V: 1, Kind: "note", Seq: 3},
		`{"v":1,"kind":"note","seq":18446744073709551615}`:                {V: 1, Kind: "note", Seq: 1<<64 - 1},
		`{"v":1,"kind":"n\u006fte","level":"info","nested":{"kind":"x"}}`: {V: 1, Kind: "note"},
		`{"v":1,"KIND":"loud","kind":"note","Seq":9}`:                     {V: 1, Kind: "note"},
		`{"v":1,"kind":"odd","kind":"note","crc":"00000000","odd":-5}`:    {V: 1, Kind: "note"},
		`{"v":1,"kind":"note","run":null,"mono_ns":-0}`:                   {V: 1, Kind: "note"},
	} {
		got, err := new(journal.Decoder).Decode([]byte(line))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{
		``, `null`, `{}`, `[]`, `{"v":1,"kind":"a"`, `{"v":1,"kind":7}`, `{"v":1,"seq":-1}`, `{"v":1,"seq":01}`, `{"v":1,"seq":1.5}`,
		`{"v":1,"time":"yesterday"}`, `{"v":1}{}`, `{"v":1,}`, `{"v":1,"x":"` + "\n" + `"}`, `{"v":0}`, `{"v":-1}`, `{"v":"1"}`, `{"v":1,"code":9223372036854775808}`,
	} {
		if e, err := new(journal.Decoder).Decode([]byte(line)); err == nil {
			t.Errorf("%s: %+v", line, e)
		}
	}
	if _, err := new(journal.Decoder).Decode([]byte(`{"v":2,"kind":"note"}`)); !errors.Is(err, journal.ErrNewerSchema) {
		t.Errorf("version 2: %v", err)
	}
}

func TestUpgrade(t *testing.T) {
	journal.SetUpgrade(0, func(members map[string]json.RawMessage) error {
		members[fsm.FieldKind] = members["type"]
		return nil
	})
	defer journal.UnsetUpgrade(0)
	e, err := new(journal.Decoder).Decode([]byte(`{"v":0,"type":"note","seq":4}`))
	if want := (fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Seq: 4}); err != nil || e != want {
		t.Errorf("%+v, %v", e, err)
	}
}

// What is read fast is what encoding/json reads; and what was read is written so
// that it is read again.
func FuzzEvent(f *testing.F) {
	for _, text := range oddTexts {
		e := fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Evidence: fsm.Evidence{Error: text}}
		f.Add(journal.AppendEvent(nil, &e))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got, err := new(journal.Decoder).Decode(line)
		want, wantErr := journal.DecodeAny(line)
		got.Time, want.Time = got.Time.UTC(), want.Time.UTC()
		if (err == nil) != (wantErr == nil) || got != want {
			t.Fatalf("fast %+v, %v; by encoding/json %+v, %v", got, err, want, wantErr)
		}
		if err != nil || len(line) > journal.MaxText {
			return
		}
		if y := got.Time.Year(); y < 0 || y > 9999 {
			return
		}
		agrees(t, got)
	})
}
