package history_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
)

// logLine is what consumer logs, with the time that the test wants.
func logLine(time string) string {
	return `{"level":"warn","v":1,"kind":"transition","seq":7,"run":"a1","machine":"orders","from":"Consuming","to":"Reviving",` +
		`"in_state_ms":1500,"mono_ns":1520000000,"trigger":"ConnectionError","gen":1,"backoff_ms":100,"endpoint":"mq1:5672",` +
		`"queue":"orders","scope":"connection","class":"network","code":320,"error":"read: \"reset\"","note":"after 2s",` + time +
		`"message":"Consuming -> Reviving: ConnectionError"}`
}

func logged(t time.Time) fsm.Event {
	return fsm.Event{
		V: 1, Kind: fsm.KindTransition, Seq: 7, Run: "a1", Machine: "orders", Time: t, MonoNS: 1520000000,
		From: consumer.Consuming, To: consumer.Reviving, Trigger: consumer.ConnectionError, InStateMS: 1500,
		Evidence: consumer.Evidence{
			Generation: 1, BackoffMS: 100, Endpoint: "mq1:5672", Queue: "orders", Scope: "connection",
			Class: "network", Code: 320, Error: `read: "reset"`, Note: "after 2s",
		}.Event(),
	}
}

// byValue has cmp compare details with ==.
var byValue = cmpopts.EquateComparable(fsm.Details{})

func TestParseLog(t *testing.T) {
	whole := time.Date(2026, 11, 22, 3, 14, 7, 0, time.UTC)
	part := whole.Add(123456789)
	plain := logLine(`"time":"2026-11-22T03:14:07.123456789Z",`)
	asText, _ := json.Marshal(plain + "\n")
	timeless, _ := json.Marshal(logLine("") + "\n")
	journal, _ := json.Marshal(logged(part))
	tests := []struct {
		name, line string
		want       time.Time
	}{
		{"fractions", plain, part},
		{"with the newline", plain + "\r\n", part},
		{"seconds", logLine(`"time":"2026-11-22T03:14:07Z",`), whole},
		{"zone", logLine(`"time":"2026-11-22T04:14:07+01:00",`), whole},
		{"unix", logLine(`"time":1795317247,`), whole},
		{"unix with fractions", logLine(`"time":1795317247.5,`), whole.Add(500 * time.Millisecond)},
		{"unix ms", logLine(`"time":1795317247123,`), whole.Add(123 * time.Millisecond)},
		{"unix us", logLine(`"time":1795317247123456,`), whole.Add(123456 * time.Microsecond)},
		{"unix ns", logLine(`"time":1795317247123456789,`), part},
		{"the later one of two members", logLine(`"time":"2020-01-01T00:00:00Z","time":1795317247,`), whole},
		{"journal", string(journal), part},
		{"docker compose", "orders-1  | " + plain, part},
		{"kubectl --prefix", "[pod/orders-7d4/orders] " + plain, part},
		{"containerd", "2026-11-22T03:14:08.5Z stderr F " + plain, part},
		{"time in front", "2026-11-22T03:14:07.123456789Z " + logLine(""), part},
		{"time in front, in brackets", "[2026-11-22T03:14:07Z] orders: " + logLine(""), whole},
		{"braces in front", `{app="orders"} {x} ` + plain, part},
		{"docker json-file", `{"log":` + string(asText) + `,"stream":"stderr","time":"2026-11-22T03:14:08Z"}`, part},
		{"docker json-file, no time", `{"log":` + string(timeless) + `,"stream":"stderr","time":"2026-11-22T03:14:07Z"}`, whole},
		{"unknown members", strings.Replace(plain, `"v":1`, `"v":1,"crc":12,"pod":{"seq":"x"}`, 1), part},

		{"empty", "", time.Time{}},
		{"text", "kind regards, seq", time.Time{}},
		{"another program's", `{"level":"info","time":"2026-11-22T03:14:07Z","kind":"Pod","seq":3,"message":"hello"}`, time.Time{}},
		{"no time", logLine(""), time.Time{}},
		{"strange time", logLine(`"time":"yesterday",`), time.Time{}},
		{"time before 1970", logLine(`"time":-5,`), time.Time{}},
		{"no seq", strings.Replace(plain, `"seq":7`, `"seq":0`, 1), time.Time{}},
		{"no run", strings.Replace(plain, `"run":"a1"`, `"run":""`, 1), time.Time{}},
		{"no from", strings.Replace(plain, `"from":"Consuming"`, `"from":""`, 1), time.Time{}},
		{"no to", strings.Replace(plain, `"to":"Reviving"`, `"to":""`, 1), time.Time{}},
		{"no kind", strings.Replace(plain, `"kind":"transition"`, `"kind":""`, 1), time.Time{}},
		{"torn", plain[:len(plain)-1], time.Time{}},
		{"console format", "03:14:07.123 WRN Consuming -> Reviving: ConnectionError kind=transition seq=7", time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, ok := history.ParseLog([]byte(tt.line))
			if ok != !tt.want.IsZero() {
				t.Fatalf("%v: %+v", ok, e)
			}
			want := fsm.Event{}
			if ok {
				want = logged(tt.want)
			}
			if diff := cmp.Diff(want, e, byValue); diff != "" {
				t.Error(diff)
			}
			// With a blank in it, it is read another way, and is the same event.
			blank := strings.NewReplacer(`"kind":`, `"kind": `, `\"kind\":`, `\"kind\": `).Replace(tt.line)
			if again, stillOK := history.ParseLog([]byte(blank)); again != e || stillOK != ok {
				t.Errorf("with a blank %v: %+v", stillOK, again)
			}
		})
	}
}

// namesTwice tells whether a line is not just a JSON object, or one with a name twice: which of the two counts if
// only the first of them makes sense depends on the way.
func namesTwice(line []byte) bool {
	in, names := json.NewDecoder(bytes.NewReader(line)), map[json.Token]bool{}
	if begin, _ := in.Token(); begin != json.Delim('{') || line[0] != '{' {
		return true
	}
	for in.More() {
		name, err := in.Token()
		if names[name] || err != nil || in.Decode(new(json.RawMessage)) != nil {
			return true
		}
		names[name] = true
	}
	return false
}

func FuzzParseLog(f *testing.F) {
	f.Add([]byte(logLine(`"time":"2026-11-22T03:14:07.123456789Z",`)))
	f.Add([]byte("[pod/x] {y} " + logLine(`"time":1795317247123,`)))
	f.Add([]byte(`{"log":"{\"kind\":\"boot\",\"seq\":1,\"run\":\"a\",\"from\":\"A\",\"to\":\"A\"}\n","time":"2026-11-22T03:14:07Z"}`))
	f.Add([]byte(`{"kind":"gap","seq":18446744073709551615,"run":"a","from":"A","to":"B","in_state_ms":9223372036854775807,"mono_ns":-1,"time":1e10}`))
	f.Add([]byte("kind seq {{{{{{{{{{"))
	f.Add([]byte(`{"v":1,"kind":"note","seq":1,"run":"a","from":"A","to":"A","time":1,"gen":2,"code":"x","queue":{"x":[]},"note":"a\u0062"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		before := slices.Clone(line)
		e, ok := history.ParseLog(line)
		if !bytes.Equal(before, line) {
			t.Fatal("it has changed the line")
		}
		if !namesTwice(line) { // with a blank in it, it is read another way
			if again, stillOK := history.ParseLog(slices.Concat([]byte("{ "), line[1:])); again != e || stillOK != ok {
				t.Fatalf("%v: %+v\nwith a blank %v: %+v", ok, e, stillOK, again)
			}
		}
		if !ok {
			return
		}
		if e.Kind == "" || e.Seq == 0 || e.Run == "" || e.From == "" || e.To == "" || e.Time.IsZero() || e.Time.Location() != time.UTC {
			t.Fatalf("no event: %+v", e)
		}
		if e.Time.Year() <= 9999 && e.Time.Year() >= 0 { // what JSON can say
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if again, ok := history.ParseLog(text); !ok || again != e {
				t.Fatalf("%+v\nis read again as\n%+v", e, again)
			}
		}
		// Whatever a log says, the projections come through.
		var s history.Summary
		timeline := history.NewTimeline(func(history.Entry) {})
		for _, e := range []fsm.Event{e, logged(e.Time.Add(time.Second)), e} {
			s.Apply(e)
			timeline.Apply(e)
		}
		timeline.Flush()
		s.Report()
	})
}
