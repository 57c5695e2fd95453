//go:build unix

package consumer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/internal/contest"
)

var mixes = []mix{
	{concurrency: 64, prefetch: 64, stuck: 60, messages: 10_000}, // few places are left, and each counts
	{concurrency: 64, prefetch: 64, stuck: 63, messages: 5_000},
	{concurrency: 16, prefetch: 64, stuck: 15, messages: 20_000},
	{concurrency: 40, prefetch: 64, stuck: 30, messages: 20_000},
	{concurrency: 16, prefetch: 256, stuck: 4, messages: 40_000},
	{concurrency: 1, prefetch: 1, messages: 5_000},
	{concurrency: 1, prefetch: 10, messages: 20_000},
	{concurrency: 1, prefetch: 23, messages: 40_000},
	{concurrency: 1, prefetch: 256, messages: 100_000},
	{concurrency: 4, prefetch: 4, messages: 20_000},
	{concurrency: 16, prefetch: 16, messages: 40_000},
	{concurrency: 16, prefetch: 64, messages: 40_000},
	{concurrency: 16, prefetch: 256, messages: 40_000},
	{concurrency: 64, prefetch: 64, messages: 40_000},
	{concurrency: 16, prefetch: 16, slow: 1, takes: time.Millisecond, messages: 5_000},
	{concurrency: 64, prefetch: 64, slow: 1, takes: time.Millisecond, messages: 10_000},
	{concurrency: 16, prefetch: 20, slow: 10, takes: time.Millisecond, messages: 20_000},
	{concurrency: 16, prefetch: 64, slow: 10, takes: time.Millisecond, messages: 20_000},
	{concurrency: 64, prefetch: 64, slow: 10, takes: 5 * time.Millisecond, messages: 20_000},
	{concurrency: 16, prefetch: 64, slow: 100, takes: 20 * time.Millisecond, messages: 20_000},
	{concurrency: 4, prefetch: 64, slow: 100, takes: 20 * time.Millisecond, messages: 5_000},
}

// BenchmarkMixes holds gathered acknowledgements against AckEach, with fast and slow handlers in all sorts of
// mixes, on the in-process broker. The two take turns:
//
//	go test -run '^$' -bench Mixes -benchtime 1x ./consumer
//
// EVERHOP_BENCH_ROUNDS is how often, 5 by default; on a busy machine more tell more. It fails if gathering is
// slower, by more than the rounds leave in doubt.
func BenchmarkMixes(b *testing.B) {
	for _, m := range mixes {
		b.Run(m.String(), m.compete)
	}
}

func (m mix) compete(b *testing.B) {
	const least, sure = 0.95, 2 // standard errors
	all := scores{}
	for round := range contest.Setting(b, "EVERHOP_BENCH_ROUNDS", 5) {
		order := []string{"each", "gathered"}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, how := range order {
			server := brokertest.NewServer(b)
			took, frames := m.consume(b, server, nil, how == "each")
			server.Close()
			all[how] = append(all[how], score{Handled: m.messages, Elapsed: took, Acks: int64(frames)})
		}
	}
	of := func(how string, f func(score) float64) float64 {
		return contest.Median(all.pairs(how, how, func(x, _ score) float64 { return f(x) }))
	}
	r := all.ratio("gathered", "each")
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(of("each", score.rate), "AckEach-msg/s")
	b.ReportMetric(of("gathered", score.rate), "msg/s")
	b.ReportMetric(of("gathered", score.frames), "frames/msg")
	b.ReportMetric(r.Median, "ratio")
	b.ReportMetric(r.Doubt, "doubt")
	if r.Median+sure*r.Doubt < least {
		b.Errorf("gathered acknowledgements are %v times as fast as AckEach, and should be %v times", r, least)
	}
}
