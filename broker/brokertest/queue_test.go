package brokertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/everhop/everhop/broker/internal/wire"
)

// A classic queue is a sorted set: whatever is taken and put back, in whatever order and way, the oldest
// message that is there is the next. The model is a list that is sorted each time.
func TestClassicQueueOrder(t *testing.T) {
	for run := range 50 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			s := NewInMemoryServer(t)
			ok(t, s.DeclareQueue("q", nil))
			ch := newChannel(&connection{server: s, out: newOutbox(), host: s.host("")}, 1)
			var ready []int
			held := map[uint64]int{}
			next := 0
			for range 400 {
				switch random.IntN(5) {
				case 0, 1:
					ok(t, s.Publish("q", fmt.Sprint(next)))
					ready = append(ready, next)
					next++
				case 2, 3:
					if len(ready) == 0 {
						continue
					}
					locked(s, func() { _ = ch.get(&wire.BasicGet{Queue: "q"}) })
					d := ch.unacked.open[len(ch.unacked.open)-1]
					if got, want := string(d.entry.body), fmt.Sprint(ready[0]); got != want {
						t.Fatalf("got %s, want %s", got, want)
					}
					held[d.tag] = ready[0]
					ready = ready[1:]
				case 4:
					if len(ch.unacked.open) == 0 {
						continue
					}
					tag, multiple := ch.unacked.open[random.IntN(len(ch.unacked.open))].tag, random.IntN(4) == 0
					settle, back := random.IntN(2) == 0, func(n int) { ready = append(ready, n) }
					if settle {
						back = func(int) {}
					}
					for other, n := range held {
						if other == tag || multiple && other < tag {
							back(n)
							delete(held, other)
						}
					}
					slices.Sort(ready)
					locked(s, func() {
						if settle {
							ok(t, ch.settle(&wire.BasicAck{}, tag, multiple, false, func(*delivery) {}))
						} else {
							ok(t, ch.reject(&wire.BasicNack{}, tag, multiple, true))
						}
					})
				}
				if q := stateOf(t, s, "q"); q.Ready != len(ready) || q.Unacknowledged != len(held) || len(held) != len(ch.unacked.open) {
					t.Fatalf("got %+v, want %d and %d", q, len(ready), len(held))
				}
			}
		})
	}
}

func locked(s *Server, do func()) {
	s.mu.Lock()
	defer s.unlock()
	do()
}

// Consumers that have room take turns, and one that meets an expired message does not lose its turn.
func TestTurnsAndExpiry(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		a, b := join(t, s), join(t, s)
		for _, p := range []*peer{a, b} {
			p.send(1, &wire.BasicConsume{Queue: "q", NoAck: true})
			want[*wire.BasicConsumeOK](p)
		}
		locked(s, func() {
			q := s.host("").queues["q"]
			q.publish(&message{ttl: 0}, false)
			q.now = q.now.Add(1) // later than the message
		})
		ok(t, s.Publish("q", "1", "2"))
		for n, p := range []*peer{a, b} {
			want[*wire.BasicDeliver](p)
			if got := p.body(); got != fmt.Sprint(n+1) {
				t.Errorf("got %s, want %d", got, n+1)
			}
		}
	})
}
