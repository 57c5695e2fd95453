package history_test

import (
	"fmt"
	"strings"

	"github.com/everhop/everhop/consumer/history"
)

// A log holds Everhop's lines among others. Of what happens now, the same summary is an observer of a
// consumer, shared by fsm.Share with whoever reads it meanwhile: see the example of consumer.Config.
func Example() {
	const log = `
2026-11-22T03:00:00Z {"kind":"boot","seq":1,"run":"a","from":"Disconnected","to":"Disconnected","mono_ns":0}
2026-11-22T03:00:00Z {"kind":"transition","seq":2,"run":"a","from":"Disconnected","trigger":"Connect","to":"Connecting","mono_ns":0}
2026-11-22T03:00:01Z {"kind":"transition","seq":3,"run":"a","from":"Connecting","trigger":"Connected","to":"Consuming","mono_ns":1000000000,"in_state_ms":1000}
listening on :8080
2026-11-22T03:14:01Z {"kind":"transition","seq":4,"run":"a","from":"Consuming","trigger":"ConnectionError","to":"Reviving","mono_ns":841000000000,"in_state_ms":840000,"class":"network"}
2026-11-22T03:14:08Z {"kind":"transition","seq":5,"run":"a","from":"Reviving","trigger":"Revived","to":"Consuming","mono_ns":848000000000,"in_state_ms":7000,"attempt":3}`

	var summary history.Summary
	timeline := history.NewTimeline(func(e history.Entry) {
		fmt.Println(e.First.Time.Format("15:04:05"), e.First.Kind, e.First.From, e.First.Trigger, e.Last.To)
	})
	for line := range strings.Lines(log) {
		if event, ok := history.ParseLog([]byte(line)); ok {
			timeline.Apply(event)
			summary.Apply(event)
		}
	}
	timeline.Flush()

	r := summary.Report()
	fmt.Println(r.Outages, "outage, the longest", r.Longest.Duration, "for", r.Longest.Cause.Class)
	// Output:
	// 03:00:00 boot Disconnected  Disconnected
	// 03:00:00 transition Disconnected Connect Connecting
	// 03:00:01 transition Connecting Connected Consuming
	// 03:14:01 transition Consuming ConnectionError Reviving
	// 03:14:08 transition Reviving Revived Consuming
	// 1 outage, the longest 7s for network
}
