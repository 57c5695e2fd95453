package publish

import (
	"fmt"
	"testing"

	"github.com/everhop/everhop/broker"
)

// BenchmarkManyTargets measures what a message takes in memory while so many targets wait for room in the window.
func BenchmarkManyTargets(b *testing.B) {
	for _, targets := range []int{10, 1000, 2000, 10_000, 100_000} {
		b.Run(fmt.Sprint(targets), func(b *testing.B) {
			l, on := newLedger(DefaultWindow, DefaultWindowBytes), newLane(defaultCredit)
			l.attach(on)
			send := func(i int) {
				if _, err := l.accept(&broker.Message{Exchange: "x", RoutingKey: fmt.Sprint(i % targets)}); err != nil {
					b.Fatal(err)
				}
			}
			const each = 3
			n := 2*DefaultWindow + each*targets
			for i := range n {
				send(i)
			}
			for i := 0; b.Loop(); i++ {
				l.next(on)
				l.confirmed(on, on.sent, false, true)
				send(n + i)
			}
		})
	}
}
