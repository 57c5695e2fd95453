package ack

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
)

// Each delivery is told of once: with the frame that settled it, or as stale.
func TestSettledIsToldOnce(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 0))
			told := make(map[uint64][]string)
			w, a := open(32, 0, func(o *Options) {
				o.Each = seed%5 == 0
				o.Settled = func(items []Item, by Frame) {
					for _, i := range items {
						told[i.Tag] = append(told[i.Tag], string(by))
					}
				}
			})
			const n = 200
			want := make(map[uint64]string)
			for tag := uint64(1); tag <= n; tag++ {
				a.Receive(itemOf(tag))
			}
			for _, i := range dice.Perm(n) {
				tag := uint64(i + 1)
				switch dice.IntN(20) {
				case 0:
					want[tag] = "nack"
					_ = a.Nack(tag)
				case 1:
					want[tag] = "reject"
					_ = a.Reject(tag, dice.IntN(2) == 0)
				case 2:
					want[tag] = "ack"
					_ = a.Ack(tag)
				case 3:
					want[tag] = ""
					_ = a.Return(tag)
				default:
					want[tag] = "ack"
					a.Finish(tag)
				}
				if dice.IntN(20) == 0 {
					pass(busyAfter)
				}
				if seed%3 == 1 && len(want) == n/2 {
					w.set(func() { w.broken = fmt.Errorf("gone") })
				}
			}
			a.Flush()
			pass(Longest)
			for _, item := range w.stale {
				told[item.Tag] = append(told[item.Tag], want[item.Tag])
			}
			for tag := uint64(1); tag <= n; tag++ {
				if is := fmt.Sprint(told[tag]); is != fmt.Sprint([]string{want[tag]}) && (want[tag] != "" || len(told[tag]) > 0) {
					t.Errorf("seed %d: of %d is told %s, and it should be %q", seed, tag, is, want[tag])
				}
			}
		})
	}
}

type deaf struct{}

func (deaf) Ack(uint64) error          { return nil }
func (deaf) AckUpTo(uint64) error      { return nil }
func (deaf) Nack(uint64) error         { return nil }
func (deaf) Reject(uint64, bool) error { return nil }

func settling(settled func([]Item, Frame)) (step func()) {
	a := New(deaf{}, Options{Prefetch: 256, Acknowledged: func(int) {}, Stale: func([]Item, error) {}, Settled: settled})
	var tag uint64
	return func() {
		for range 64 {
			tag++
			a.Receive(Item{Tag: tag})
			a.Finish(tag)
		}
	}
}

// Who does not ask is not told, at no cost.
func TestToldNobodyCostsNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	step := settling(nil)
	step()
	if n := testing.AllocsPerRun(100, step); n > 0 {
		t.Errorf("%v allocations for 64 deliveries", n)
	}
}

func BenchmarkSettled(b *testing.B) {
	for name, settled := range map[string]func([]Item, Frame){"nobody": nil, "somebody": func([]Item, Frame) {}} {
		b.Run(name, func(b *testing.B) {
			step := settling(settled)
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/delivery")
		})
	}
}
