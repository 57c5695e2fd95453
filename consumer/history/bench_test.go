package history_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer/history"
)

// idleLine is what most lines are of a log at level debug.
const idleLine = `{"level":"debug","service":"shop","v":1,"kind":"transition","seq":12,"run":"orders-1","machine":"orders","from":"Consuming","to":"HeartbeatCheck",` +
	`"in_state_ms":2000,"mono_ns":24021000000,"trigger":"DrainTimeout","gen":1,"endpoint":"mq1:5672","time":"2026-11-22T22:00:24.021Z",` +
	`"message":"Consuming -> HeartbeatCheck: DrainTimeout"}`

// Logs of a gigabyte are read: what a line costs is what its event needs, and nothing for its JSON.
func TestParseLogAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("with the race detector, a sync.Pool forgets at random")
	}
	for _, tt := range []struct {
		name, line string
		most       float64
	}{
		{"idle", idleLine, 2},
		{"idle, of kubectl", "[pod/orders-7d4/orders] " + idleLine, 2},
		{"a loss", logLine(`"time":"2026-11-22T03:14:07.123456789Z",`), 7},
		{"a loss, its time a number", logLine(`"time":1795317247123,`), 10},
		{"another program's", `{"level":"info","time":"2026-11-22T03:14:07Z","kind":"GET","message":"hello"}`, 0},
	} {
		line := []byte(tt.line)
		if n := testing.AllocsPerRun(1000, func() { history.ParseLog(line) }); n > tt.most {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, n, tt.most)
		}
	}
}

// BenchmarkParseLog reads a line at least twice as fast as encoding/json, which makes no event of it.
func BenchmarkParseLog(b *testing.B) {
	for name, text := range map[string]string{
		"idle": idleLine,
		"loss": logLine(`"time":"2026-11-22T03:14:07.123456789Z",`),
		"unix": logLine(`"time":1795317247123,`),
	} {
		b.Run(name, func(b *testing.B) {
			line := []byte(text)
			const batch = 100
			var own, byJSON time.Duration
			for b.Loop() {
				own += took(func() { history.ParseLog(line) }, batch)
				byJSON += took(func() { _ = json.Unmarshal(line, new(map[string]any)) }, batch)
			}
			ratio := float64(byJSON) / float64(own)
			b.ReportMetric(float64(own.Nanoseconds())/float64(batch*b.N), "ns/line")
			b.ReportMetric(ratio, "times-as-fast")
			if ratio < 2 {
				b.Errorf("%.1f times as fast", ratio)
			}
		})
	}
}

// took is how long it takes to do something so often.
func took(do func(), times int) time.Duration {
	begun := time.Now()
	for range times {
		do()
	}
	return time.Since(begun)
}
