//go:build linux

package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/everhop/everhop/broker/rabbittest"
)

// soakFault plays a fault. What it needs is drawn before it begins, so that the dice belong to one goroutine.
type soakFault struct {
	kind   string
	weight int
	tail   time.Duration // for how long after its end it may have messages handled twice; 0: it never has
	draw   func(s *soak) (targets []string, play func() error)
}

const (
	unfelt = 0
	felt   = 10 * time.Second
	// silentlyFelt is what a peer takes to notice that acknowledgements do not arrive, though deliveries still do.
	silentlyFelt = 40 * time.Second
	// onNodes is taken by all faults of nodes: one at a time, or nothing would ever be consumed.
	onNodes = "nodes"
)

var soakFaults = []soakFault{
	{"node killed", 3, felt, func(s *soak) ([]string, func() error) {
		i, away := s.dice.IntN(soakNodes), s.some(4*time.Second)
		return []string{onNodes, nodeTarget(i)}, func() error { return s.restart(away, i) }
	}},
	{"two nodes killed", 1, felt, func(s *soak) ([]string, func() error) {
		i, away := s.dice.IntN(soakNodes), s.some(2*time.Second)
		j := (i + 1) % soakNodes
		return []string{onNodes, nodeTarget(i), nodeTarget(j)}, func() error { return s.restart(away, i, j) }
	}},
	{"node frozen", 3, felt, func(s *soak) ([]string, func() error) {
		i, lasts := s.dice.IntN(soakNodes), s.some(10*time.Second)
		return []string{onNodes, nodeTarget(i)}, func() error {
			node := s.cluster.Nodes[i]
			return during(lasts, node.Freeze, node.Thaw)
		}
	}},
	{"memory alarm", 2, unfelt, func(s *soak) ([]string, func() error) {
		i, lasts := s.dice.IntN(soakNodes), s.some(5*time.Second)
		return []string{onNodes, nodeTarget(i)}, func() error {
			alarm := func(on bool) func() error {
				return func() error {
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					defer cancel()
					return s.cluster.Nodes[i].MemoryAlarm(ctx, on)
				}
			}
			return during(lasts, alarm(true), alarm(false))
		}
	}},
	{"queue suspended", 2, felt, func(s *soak) ([]string, func() error) {
		i, lasts := s.dice.IntN(soakNodes), s.some(15*time.Second)
		queue := soakQueues[i].name // the classic one of that node
		return []string{onNodes, queue}, func() error {
			on := func(call func(context.Context, string) error) func() error {
				return func() error {
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					defer cancel()
					return call(ctx, queue)
				}
			}
			return during(lasts, on(s.cluster.Nodes[i].SuspendQueue), on(s.cluster.Nodes[i].ResumeQueue))
		}
	}},
	{"queue deleted", 3, felt, func(s *soak) ([]string, func() error) {
		var names []string
		for _, q := range soakQueues {
			if q.deleted {
				names = append(names, q.name)
			}
		}
		queue := names[s.dice.IntN(len(names))]
		return []string{onNodes, queue}, func() error { return s.deleteQueue(queue) }
	}},
	{"process killed", 3, felt, func(s *soak) ([]string, func() error) {
		i, away := s.dice.IntN(soakProcesses-1), s.some(4*time.Second) // the last one lives on, and shows whether it grows
		return []string{processTarget(i)}, func() error {
			s.processes[i].kill()
			<-time.After(away)
			return s.start(i)
		}
	}},
	{"process frozen", 2, felt, func(s *soak) ([]string, func() error) {
		i, lasts := s.dice.IntN(soakProcesses), s.some(10*time.Second)
		return []string{processTarget(i)}, func() error {
			p := s.processes[i].cmd.Process
			return during(lasts, func() error { return p.Signal(syscall.SIGSTOP) }, func() error { return p.Signal(syscall.SIGCONT) })
		}
	}},
	{"disk full", 2, unfelt, func(s *soak) ([]string, func() error) {
		i, lasts := s.dice.IntN(soakProcesses), s.some(5*time.Second)
		return []string{processTarget(i)}, func() error {
			limit := func(bytes uint64) func() error {
				return func() error {
					pid := s.processes[i].cmd.Process.Pid
					return unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: math.MaxUint64}, nil)
				}
			}
			return during(lasts, limit(1), limit(math.MaxUint64))
		}
	}},
	{"connections reset", 3, felt, onProxy(func(p *rabbittest.Proxy, _ time.Duration, _ rabbittest.Direction) error {
		p.Reset()
		return nil
	})},
	{"connections dropped", 2, silentlyFelt, onProxy(func(p *rabbittest.Proxy, _ time.Duration, way rabbittest.Direction) error {
		p.DropCurrent(way)
		return nil
	})},
	{"network silent", 2, silentlyFelt, onProxy(func(p *rabbittest.Proxy, lasts time.Duration, way rabbittest.Direction) error {
		p.Freeze(way)
		<-time.After(lasts)
		p.Thaw()
		return nil
	})},
	{"connections refused", 2, felt, onProxy(func(p *rabbittest.Proxy, lasts time.Duration, _ rabbittest.Direction) error {
		p.Refuse()
		<-time.After(lasts)
		return p.Accept()
	})},
}

func onProxy(play func(*rabbittest.Proxy, time.Duration, rabbittest.Direction) error) func(*soak) ([]string, func() error) {
	return func(s *soak) ([]string, func() error) {
		i, lasts := s.dice.IntN(soakNodes), s.some(8*time.Second)
		way := []rabbittest.Direction{rabbittest.ToBroker, rabbittest.ToClient, rabbittest.Both}[s.dice.IntN(3)]
		return []string{proxyTarget(i)}, func() error { return play(s.proxies[i], lasts, way) }
	}
}

func during(lasts time.Duration, begin, end func() error) error {
	if err := begin(); err != nil {
		return err
	}
	<-time.After(lasts)
	return end()
}

func (s *soak) some(most time.Duration) time.Duration {
	return 200*time.Millisecond + time.Duration(s.dice.Int64N(int64(most)))
}

// next draws a fault whose targets nothing is done to at the moment, and begins with it.
func (s *soak) next() {
	var pot []soakFault
	for _, f := range soakFaults {
		for range f.weight {
			pot = append(pot, f)
		}
	}
	for range 50 {
		f := pot[s.dice.IntN(len(pot))]
		targets, play := f.draw(s)
		if !s.take(targets) {
			continue
		}
		s.playing.Go(func() {
			defer s.release(targets)
			if f.tail != unfelt {
				for _, target := range targets {
					defer s.ledger.begin(target, f.tail)()
				}
			}
			began := time.Now()
			if err := play(); !errors.Is(err, errNotEmpty) {
				s.faults.record(f.kind, fmt.Sprint(targets), began, err)
			}
		})
		return
	}
}

func (s *soak) take(targets []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, target := range targets {
		if s.busy[target] {
			return false
		}
	}
	for _, target := range targets {
		s.busy[target] = true
	}
	return true
}

func (s *soak) release(targets []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, target := range targets {
		delete(s.busy, target)
	}
}

// restart kills nodes, and has them back after a while.
func (s *soak) restart(away time.Duration, numbers ...int) error {
	for _, i := range numbers {
		if err := s.cluster.Nodes[i].Kill(); err != nil {
			return err
		}
	}
	<-time.After(away)
	starting := make(chan error)
	for _, i := range numbers {
		go func() {
			err := s.cluster.Nodes[i].Restart(context.Background())
			if err != nil {
				err = errors.Join(err, s.cluster.Nodes[i].Restart(context.Background()))
			}
			starting <- err
		}()
	}
	var err error
	for range numbers {
		err = errors.Join(err, <-starting)
	}
	return err
}

var errNotEmpty = errors.New("what is in the queue does not come before something else is mended")

// deleteQueue deletes a queue when everything in it that counts was handled. Its consumers declare it again.
func (s *soak) deleteQueue(queue string) error {
	f := s.feeders[queue]
	f.mu.Lock()
	defer f.mu.Unlock()
	for waited := 0; f.await.Load() > 0 || s.ledger.missing(queue) > 0; waited++ {
		if waited == 200 {
			return errNotEmpty
		}
		<-time.After(100 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := s.cluster.Nodes[rand.IntN(soakNodes)].Ctl(ctx, "delete_queue", queue); err != nil {
		<-time.After(patience) // it may be carried out yet, and nothing must be in the queue then
		return err
	}
	return nil
}
