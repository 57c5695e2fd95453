package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker/rabbittest"
)

// A stream is read from where it is said, and over lost connections on behind what was handled.
func TestConsumeStream(t *testing.T) {
	bodies := make([]string, 40)
	for i := range bodies {
		bodies[i] = fmt.Sprint(i)
	}
	queue := newQueueOf(t, "stream", bodies...)
	for _, test := range []struct {
		offset string
		first  int // that comes
	}{{"first", 0}, {"7", 7}, {"1h", 0}, {"2026-01-31T12:00:00Z", 0}} {
		t.Run(test.offset, func(t *testing.T) {
			p := everhop(t, 0, "", "consume", "--queue", queue, "--stream-offset", test.offset, "--count", "5")
			if got, want := p.stdout.String(), strings.Join(bodies[test.first:test.first+5], "\n")+"\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestConsumeStreamGoesOn(t *testing.T) {
	const messages, round = 60, 20
	for _, flags := range []string{"--stream-offset next --declare", "--stream-offset next", ""} { // without, it is recognised
		t.Run(flags, func(t *testing.T) {
			proxy := newProxy(t)
			queue := newQueueOf(t, "stream", "before")
			args := append([]string{"consume", "--queue", queue, "--url", proxy.URL(rabbittest.Shared(t).URL()),
				"--count", fmt.Sprint(messages), "--poison", "dead-letter"}, strings.Fields(flags)...)
			p := prepare(t, args...).start()
			p.logs(`"trigger":"Connected"`)
			for i := 0; i < messages; i += round {
				if i > 0 {
					proxy.Reset()
					p.logs(fmt.Sprintf(`"trigger":"Revived","gen":%d`, i/round+1))
				}
				var bodies []string
				for n := i; n < i+round; n++ {
					bodies = append(bodies, fmt.Sprint(n))
				}
				publishMany(t, queue, bodies)
				rabbittest.Eventually(t, patience, "the messages", func() bool { return strings.HasSuffix(p.stdout.String(), fmt.Sprintf("\n%d\n", i+round-1)) })
			}
			p.wait(0)
			if lines := strings.Fields(p.stdout.String()); len(lines) != messages || lines[0] != "0" || lines[messages-1] != fmt.Sprint(messages-1) {
				t.Errorf("got %q", lines)
			}
			if strings.Contains(p.stderr.String(), "queue_differs") {
				t.Errorf("the stream was taken for another queue:\n%s", &p.stderr)
			}
		})
	}
}
