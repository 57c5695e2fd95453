package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
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

// oddValues are hard on one who passes over them.
var oddValues = []string{
	`null`, `true`, `false`, `0`, `-0`, `7`, `-12345678901234567890123`, `1.50`, `2e400`, `1E-7`, `""`, `"}"`, `"\\"`, `"\""`, `"\",\"crc\":\"00000000\"}"`,
	`"\u0061\/\u2028\ud800"`, `"<&>"`, `"日本語"`, "\"\xff\"", `{}`, `[]`, `[{}]`, `{"":{"":""}}`, `{"v":2,"seq":"x","prev":"01234567","crc":"01234567"}`,
	` [ 1 , {"a" : [ "]" ] } ] `, `{"a":1,"a":2}`, `"` + strings.Repeat("long ", 200) + `"`,
}

// drawDetails draws any details that are not left out.
func drawDetails(t *rapid.T) fsm.Details {
	names := rapid.OneOf(
		rapid.SampledFrom([]string{"gen", "endpoint", "V", "Seq", "KIND", "details", "Evidence", "-", "Prev", "CRC", "crc ", "naïve"}),
		rapid.SampledFrom(oddTexts), rapid.StringMatching(`[a-c]`), rapid.StringN(20, 300, 300))
	value := rapid.OneOf(rapid.SampledFrom(oddValues), rapid.Map(rapid.String(), quoted), rapid.Map(rapid.Int(), func(n int) string { return fmt.Sprint(n) }))
	var members []string
	for range rapid.IntRange(0, 5).Draw(t, "members") {
		name := names.Draw(t, "name")
		if _, err := fsm.DetailsOf([]byte(`{` + quoted(name) + `:0}`)); err == nil && name != "prev" && name != "crc" {
			members = append(members, quoted(name)+":"+value.Draw(t, "value"))
		}
	}
	return details(t, "{"+strings.Join(members, ",")+"}")
}

// quoted is a text in JSON.
func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

// drawEvent draws any event whose texts are not cut.
func drawEvent(t *rapid.T) fsm.Event {
	text := func(name string) string {
		return rapid.OneOf(rapid.SampledFrom(oddTexts), rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, name)
	}
	return fsm.Event{
		V: fsm.Schema, Kind: fsm.Kind(text("kind")), Name: text("name"), Seq: rapid.Uint64().Draw(t, "seq"), Run: text("run"), Machine: text("machine"),
		Time:   time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC(),
		MonoNS: rapid.Int64().Draw(t, "mono"), From: fsm.State(text("from")), To: fsm.State(text("to")), Trigger: fsm.Trigger(text("trigger")),
		Via: fsm.State(text("via")), Back: fsm.Trigger(text("back")), Count: rapid.Uint64().Draw(t, "count"),
		InStateMS: rapid.Int64().Draw(t, "ms"), Table: text("table"),
		Evidence: fsm.Evidence{Details: drawDetails(t), Error: text("error"), Note: text("note")},
	}
}

// agrees checks encoder and decoder against encoding/json, which is to have the same
// details as the event, to the byte.
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
	if back.Details != e.Details {
		t.Fatalf("by encoding/json the details are\n%s, were\n%s", back.Details, e.Details)
	}
	record, _ := journal.Encode(&e, 7)
	var d journal.Decoder
	for _, line := range []string{got, got, string(record)} { // the second time with names and details that were kept
		decoded, err := d.DecodeEvent([]byte(line))
		if diff := cmp.Diff(back, decoded, byValue); diff != "" || err != nil {
			t.Fatalf("decoded %s: %v (-json +own)\n%s", line, err, diff)
		}
		decoded, err = journal.DecodeAny([]byte(line))
		if diff := cmp.Diff(back, decoded, byValue); diff != "" || err != nil {
			t.Fatalf("decoded the long way: %s: %v (-json +own)\n%s", line, err, diff)
		}
	}
}

func TestEncodingAgreesWithJSON(t *testing.T) {
	for _, text := range oddTexts {
		agrees(t, fsm.Event{V: fsm.Schema, Kind: fsm.Kind(text), Name: text, From: fsm.State(text), Evidence: fsm.Evidence{Error: text}})
		agrees(t, fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Evidence: fsm.Evidence{Details: details(t, `{`+quoted(text)+`:`+quoted(text)+`}`)}})
	}
	for _, value := range oddValues {
		for _, object := range []string{`{"x":` + value + `}`, `{"x":` + value + `,"y":` + value + `,"x":1}`, `{"y":[` + value + `],"x":{"kind":` + value + `}}`} {
			agrees(t, fsm.Event{V: fsm.Schema, Kind: fsm.KindSnapshot, Evidence: fsm.Evidence{Details: details(t, object)}})
		}
	}
	rapid.Check(t, func(t *rapid.T) { agrees(t, drawEvent(t)) })
}

// What the journal writes is read without encoding/json, or it would be slow.
func TestOrdinaryRecordsAreDecodedFast(t *testing.T) {
	log := doorLog(t)
	for i, value := range oddValues {
		e := log[i%len(log)]
		e.Details = details(t, `{"code":320,"x":`+value+`}`)
		log = append(log, e)
	}
	var d journal.Decoder
	for _, e := range log {
		line, _ := journal.Encode(&e, 0)
		line = bytes.TrimSuffix(line, []byte("\n"))
		if got, ok := d.Decode(line); !ok || got != e {
			t.Errorf("%s: %v, %+v", line, ok, got)
		}
	}
}

// What a decoder keeps of a line is not found again in another.
func TestDecoderKeepsDetailsApart(t *testing.T) {
	var d journal.Decoder
	for range 2 {
		for i := range 1000 { // more than it keeps
			for _, object := range []string{
				fmt.Sprintf(`{"gen":%d}`, i), fmt.Sprintf(`{"gen":"%d"}`, i), fmt.Sprintf(`{"gen":%d,"x":%d}`, i, i), fmt.Sprintf(`{"gen":%d,"gen":%d}`, i, i+1), `{}`,
			} {
				e := fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Seq: uint64(i), Evidence: fsm.Evidence{Details: details(t, object)}}
				if got, err := d.DecodeEvent(journal.AppendEvent(nil, &e)); got != e || err != nil {
					t.Fatalf("%s: %+v, %v", object, got, err)
				}
			}
		}
	}
}

func TestDecoderKeepsLittle(t *testing.T) {
	var d journal.Decoder
	for i := range 1500 { // more than it keeps
		for _, size := range []int{40, 500, 5000} {
			text := fmt.Sprint(i) + strings.Repeat("x", size)
			e := fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Name: text, Evidence: fsm.Evidence{Details: details(t, `{"x":`+quoted(text)+`}`)}}
			if _, ok := d.Decode(journal.AppendEvent(nil, &e)); !ok {
				t.Fatalf("not fast: %+v", e)
			}
		}
		if kept := d.Kept(); kept > 256<<10 {
			t.Fatalf("keeps %d bytes", kept)
		}
	}
}

// The names of a record's own members are not for details: they could be mistaken.
func TestDetailsInDisguise(t *testing.T) {
	for object, want := range map[string]string{
		`{"prev":"01234567"}`:                             `{}`,
		`{"crc":"01234567"}`:                              `{}`,
		`{"x":1,"prev":"01234567","y":2,"crc":{},"z":3}`:  `{"x":1,"y":2,"z":3}`,
		`{"\u0070rev":1,"cr\u0063":[],"prev":2}`:          `{}`,
		`{"x":{"prev":"01234567"},"y":",\"prev\":\"0\""}`: `{"x":{"prev":"01234567"},"y":",\"prev\":\"0\""}`,
		`{"Prev":1,"CRC":2,"previous":3,"the prev":4}`:    `{"Prev":1,"CRC":2,"previous":3,"the prev":4}`,
	} {
		dir := t.TempDir()
		j := openJournal(t, dir, journal.Options{})
		m := newMachine(t, doorTable(t), fsm.Options{Journal: j})
		for range 3 {
			if _, err := m.Fire("Knock", fsm.Evidence{Details: details(t, object)}); err != nil {
				t.Fatal(err)
			}
		}
		j.Close()
		for _, e := range machineEvents(readAll(t, dir)) {
			if e.Details != details(t, want) {
				t.Errorf("%s: read %s", object, e.Details)
			}
		}
		e, without := fsm.Event{Evidence: fsm.Evidence{Details: details(t, object)}}, fsm.Event{Evidence: fsm.Evidence{Details: details(t, want)}}
		if got, want := journal.AppendEvent(nil, &e), journal.AppendEvent(nil, &without); !bytes.Equal(got, want) {
			t.Errorf("%s: wrote %s", object, got)
		}
	}
}

func TestTextsAreCut(t *testing.T) {
	for _, long := range []string{strings.Repeat("x", journal.MaxText+1), strings.Repeat("é", journal.MaxText), strings.Repeat("\xff", 5<<20), strings.Repeat("\x01", 5<<20)} {
		e := fsm.Event{
			V: fsm.Schema, Kind: fsm.Kind(long), Name: long, Run: long, Machine: long, From: fsm.State(long), To: fsm.State(long), Trigger: fsm.Trigger(long), Table: long,
			Evidence: fsm.Evidence{Details: details(t, `{"x":"`+strings.Repeat("x", journal.MaxText-6)+`"}`), Error: long, Note: long},
		}
		line, _ := journal.Encode(&e, 0)
		if len(line) > journal.MaxLine {
			t.Errorf("a line of %d bytes", len(line))
		}
		got, err := journal.DecodeAny(line)
		if err != nil || !strings.HasSuffix(got.Error, "…") || !strings.HasSuffix(got.Name, "…") || !utf8.ValidString(got.Error) {
			t.Errorf("%v: %q...", err, got.Error[len(got.Error)-10:])
		}
		if strings.Contains(long, "é") && strings.Contains(got.Error, "\ufffd") {
			t.Error("cut within a rune")
		}
		if got.Details != e.Details {
			t.Errorf("details of %d bytes, were %d", len(got.Details.String()), len(e.Details.String()))
		}
	}
	exact := strings.Repeat("x", journal.MaxText)
	agrees(t, fsm.Event{V: fsm.Schema, Kind: "k", Evidence: fsm.Evidence{Error: exact}})
}

// A part of details would be none; and a line with all of them could not be read.
func TestDetailsThatAreTooLong(t *testing.T) {
	for _, size := range []int{journal.MaxText - 5, journal.MaxLine} {
		e := fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Evidence: fsm.Evidence{Details: details(t, `{"x":"`+strings.Repeat("x", size)+`"}`), Note: "n"}}
		got, err := journal.DecodeAny(journal.AppendEvent(nil, &e))
		if e.Details = (fsm.Details{}); got != e || err != nil {
			t.Errorf("%.100s..., %v", fmt.Sprint(got), err)
		}
	}
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
		`{"v":1,"kind":"n\u006fte","level":"info","nested":{"kind":"x"}}`: unusual(t, `{"level":"info","nested":{"kind":"x"}}`),
		`{"v":1,"KIND":"loud","kind":"note","Seq":9}`:                     unusual(t, `{"KIND":"loud","Seq":9}`),
		`{"v":1,"kind":"odd","kind":"note","crc":"00000000","odd":-5}`:    unusual(t, `{"odd":-5}`),
		`{"v":1,"kind":"note","run":null,"mono_ns":-0}`:                   {V: 1, Kind: "note"},
		`{"v":1,"kind":"note","prev":{"a":1},"crc":7,"Prev":"x"}`:         unusual(t, `{"Prev":"x"}`),
		`{"v":1,"kind":"note","prev":"\u0030"}`:                           {V: 1, Kind: "note"},
		`{"\u0070rev":"x","v":1,"c\u0072c":"y","kind":"note"}`:            {V: 1, Kind: "note"},
		`{"z": [1, 2 ],"v":1,"a":{"crc":1} ,"kind":"note","z":0.50}`:      unusual(t, `{"z":[1,2],"a":{"crc":1},"z":0.50}`),
		"{\"v\":1,\"kind\":\"note\",\"x\":\"\xff\",\"y\xff\":2}":          unusual(t, "{\"x\":\"\ufffd\",\"y\ufffd\":2}"),
		`{"v":1,"kind":"note","\u0061":"\u0061"}`:                         unusual(t, `{"a":"\u0061"}`),
	} {
		got, err := new(journal.Decoder).DecodeEvent([]byte(line))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{
		``, `null`, `{}`, `[]`, `{"v":1,"kind":"a"`, `{"v":1,"kind":7}`, `{"v":1,"seq":-1}`, `{"v":1,"seq":01}`, `{"v":1,"seq":1.5}`,
		`{"v":1,"time":"yesterday"}`, `{"v":1}{}`, `{"v":1,}`, `{"v":1,"x":"` + "\n" + `"}`, `{"v":0}`, `{"v":-1}`, `{"v":"1"}`, `{"v":1,"mono_ns":9223372036854775808}`,
		`{"v":1,"x":}`, `{"v":1,"x":,"y":1}`, `{"v":1,"x":01}`, `{"v":1,"x":tru}`, `{"v":1,"x":1 2}`, `{"v":1,"x":"\u12"}`, `{"v":1,"x":"}`, `{"v":1,"x":[1}}`,
		`{"v":1,"x":[1,2}]}`, `{"v":1,"x":]}`, `{"v":1,"x":[}`, `{"v":1,"x":{1]}`, `{"v":1,"x":{"a":1}`, `{"v":1,"x":{}}}`, `{"v":1,"crc":x}`, `{"v":1,"prev":[}]}`,
	} {
		if e, err := new(journal.Decoder).DecodeEvent([]byte(line)); err == nil {
			t.Errorf("%s: %+v", line, e)
		}
	}
	if _, err := new(journal.Decoder).DecodeEvent([]byte(`{"v":2,"kind":"note"}`)); !errors.Is(err, journal.ErrNewerSchema) {
		t.Errorf("version 2: %v", err)
	}
}

// A log may have its times otherwise.
func TestDecodeAnotherTime(t *testing.T) {
	year := func(value []byte) (time.Time, bool) {
		n, err := strconv.Atoi(string(value))
		return time.Date(n, 1, 1, 0, 0, 0, 0, time.UTC), err == nil
	}
	for _, tt := range []struct {
		value  string
		read   func([]byte) (time.Time, bool)
		want   int
		wantOK bool
	}{
		{`2026`, year, 2026, true},
		{`"2027-01-01T00:00:00Z"`, year, 2027, true},
		{`"2028"`, year, 0, false},
		{`{"year":2026}`, year, 0, false},
		{``, year, 0, false},
		{`2026`, nil, 0, false},
	} {
		d := journal.Decoder{Time: tt.read}
		e, ok := d.Decode([]byte(`{"v":1,"kind":"note","time":` + tt.value + `,"x":2}`))
		if ok != tt.wantOK || ok && (e.Time.Year() != tt.want || e.Details != details(t, `{"x":2}`)) || !ok && e != (fsm.Event{}) {
			t.Errorf("%s: %v, %+v", tt.value, ok, e)
		}
	}
}

// unusual is a note with details.
func unusual(t *testing.T, object string) fsm.Event {
	return fsm.Event{V: 1, Kind: "note", Evidence: fsm.Evidence{Details: details(t, object)}}
}

func TestUpgrade(t *testing.T) {
	journal.SetUpgrade(0, func(object json.RawMessage) (json.RawMessage, error) {
		if !bytes.Contains(object, []byte(`"type"`)) {
			return nil, errors.New("no type")
		}
		return bytes.Replace(object, []byte(`"type"`), []byte(`"kind"`), 1), nil
	})
	defer journal.UnsetUpgrade(0)
	e, err := new(journal.Decoder).DecodeEvent([]byte(`{"v":0,"z":1,"type":"note","seq":4,"a":{"v":0},"crc":"01234567"}`))
	want := unusual(t, `{"z":1,"a":{"v":0}}`)
	if want.Seq = 4; err != nil || e != want {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := new(journal.Decoder).DecodeEvent([]byte(`{"v":0,"kind":"note"}`)); err == nil || !strings.Contains(err.Error(), "from version 0: no type") {
		t.Errorf("an upgrade that fails: %v", err)
	}
}

// What is read fast is what encoding/json reads; and what was read is written so
// that it is read again.
func FuzzEvent(f *testing.F) {
	for _, text := range oddTexts {
		e := fsm.Event{V: fsm.Schema, Kind: fsm.KindNote, Evidence: fsm.Evidence{Error: text}}
		f.Add(journal.AppendEvent(nil, &e))
	}
	for _, value := range oddValues {
		f.Add([]byte(`{"v":1,"kind":"note","x":` + value + `,"prev":"01234567","y":1,"crc":"01234567"}`))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got, err := new(journal.Decoder).DecodeEvent(line)
		want, wantErr := journal.DecodeAny(line)
		got.Time, want.Time = got.Time.UTC(), want.Time.UTC()
		if (err == nil) != (wantErr == nil) || got != want {
			t.Fatalf("fast %+v, %v; by encoding/json %+v, %v", got, err, want, wantErr)
		}
		if err != nil || len(line) > journal.MaxText/3 { // U+FFFD is three bytes, in place of one
			return
		}
		if y := got.Time.Year(); y < 0 || y > 9999 {
			return
		}
		agrees(t, got)
	})
}
