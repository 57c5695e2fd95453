//go:build linux

package consumer_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm/journal"
)

const (
	soakNodes     = 3
	soakProcesses = 4
	soakEvery     = 45 * time.Millisecond // a message for each queue
	soakFaultRate = 2 * time.Second
	soakSettling  = 3 * time.Minute // for what is left when the faults are over
)

// soak is a cluster, consumers in processes of their own, publishers, and what is done to them.
//
//	feeders ──┬─► proxy 0 ─► node 0 ──┐
//	          ├─► proxy 1 ─► node 1   │ cluster
//	processes ┴─► proxy 2 ─► node 2 ──┘
//	    └─ what they handled ─► ledger ◄─ what was confirmed
type soak struct {
	*testing.T
	dir       string
	dice      *rand.Rand
	cluster   *rabbittest.Cluster
	proxies   []*rabbittest.Proxy
	processes []*soakProcess
	feeders   map[string]*feeder
	ledger    *soakLedger
	faults    faultBook
	playing   sync.WaitGroup

	mu   sync.Mutex
	busy map[string]bool // what a fault is played on
}

// TestSoak breaks everything at random for EVERHOP_SOAK_MINUTES, and then counts: make soak.
func TestSoak(t *testing.T) {
	minutes, err := strconv.ParseFloat(os.Getenv("EVERHOP_SOAK_MINUTES"), 64)
	if err != nil {
		t.Skip("takes an hour: make soak")
	}
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("EVERHOP_SOAK_SEED"), strconv.FormatInt(time.Now().UnixNano(), 10)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "everhop-soak-")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("SEED=%d, ledgers and journals in %s", seed, dir)
	s := &soak{T: t, dir: dir, dice: rand.New(rand.NewPCG(seed, 0)), feeders: map[string]*feeder{}, ledger: newSoakLedger(), busy: map[string]bool{}}
	s.setUp()
	feeding, stopFeeding := context.WithCancel(context.Background())
	defer stopFeeding()
	var fed sync.WaitGroup
	for _, f := range s.feeders {
		fed.Go(func() { _ = f.run(feeding) })
	}
	began := time.Now()
	s.disturb(began.Add(time.Duration(minutes * float64(time.Minute))))
	s.playing.Wait()
	for _, p := range s.proxies {
		p.Thaw()
	}
	stopFeeding()
	fed.Wait()
	for settling := time.Now(); s.ledger.missing("") > 0 && time.Since(settling) < soakSettling; {
		<-time.After(100 * time.Millisecond)
	}
	<-time.After(2 * soakGauge) // for the last word on memory
	s.stop()
	s.tell(time.Since(began))
	if !t.Failed() {
		os.RemoveAll(dir)
	}
}

func (s *soak) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *soak) setUp() {
	var err error
	s.cluster, err = rabbittest.StartCluster(s.Context())
	s.must(err)
	s.Cleanup(func() {
		if err := s.cluster.Stop(); err != nil {
			s.Error(err)
		}
	})
	s.Logf("RabbitMQ %s, %d nodes, %d processes with %d consumers each", s.cluster.Nodes[0].Version(), soakNodes, soakProcesses, soakConsumers)
	for _, node := range s.cluster.Nodes {
		p, err := rabbittest.NewProxy(node.Addr())
		s.must(err)
		s.Cleanup(p.Close)
		s.proxies = append(s.proxies, p)
	}
	for i, q := range soakQueues {
		s.declare(s.cluster.Nodes[i%soakNodes], q)
		urls := s.urls()
		s.feeders[q.name] = &feeder{
			urls: slices.Concat(urls[i%soakNodes:], urls[:i%soakNodes]), queue: q.name, every: soakEvery,
			confirmed: func(id string) { s.ledger.confirm(q, id) },
		}
	}
	for i := range soakProcesses {
		s.processes = append(s.processes, nil)
		s.must(s.start(i))
	}
}

func (s *soak) declare(node *rabbittest.Node, q soakQueue) {
	endpoints, err := broker.ParseEndpoints(node.URL())
	s.must(err)
	p, err := broker.OpenPublisher(s.Context(), broker.Plan{Endpoints: endpoints})
	s.must(err)
	defer p.Close(context.Background())
	s.must(p.DeclareQueue(s.Context(), q.name, *q.options()))
}

func (s *soak) urls() (urls []string) {
	for i, node := range s.cluster.Nodes {
		urls = append(urls, s.proxies[i].URL(node.URL()))
	}
	return urls
}

// disturb plays faults until then.
func (s *soak) disturb(end time.Time) {
	tick := time.NewTicker(soakFaultRate)
	defer tick.Stop()
	for n := 1; time.Now().Before(end); n++ {
		<-tick.C
		s.next()
		if n%30 == 0 {
			s.Logf("%s left, %d messages are on their way", time.Until(end).Round(time.Second), s.ledger.missing(""))
		}
	}
}

// soakProcess is a process that consumes.
type soakProcess struct {
	cmd         *exec.Cmd
	began       time.Time
	read        sync.WaitGroup // what it has written
	mu          sync.Mutex
	first, last soakLine // about itself
}

// start starts a process, which goes on where the one before it ended.
func (s *soak) start(i int) error {
	task, err := json.Marshal(soakTask{Process: i, URLs: s.urls(), Journal: filepath.Join(s.dir, "journals"), Offset: s.ledger.offset(i)})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	kept, err := os.OpenFile(filepath.Join(s.dir, fmt.Sprintf("handled.%d", i)), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	lines, theirs, err := os.Pipe() // and not the file itself, since a full disk is played on the process
	if err != nil {
		return err
	}
	defer theirs.Close()
	cmd := exec.Command(self, "-test.run=^TestSoakProcess$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), soakProcessEnv+"="+string(task))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &soakProcess{cmd: cmd, began: time.Now()}
	p.read.Go(func() {
		defer kept.Close()
		defer lines.Close()
		s.follow(p, i, io.TeeReader(lines, kept))
	})
	s.processes[i] = p
	return nil
}

// follow reads what a process says, to its end.
func (s *soak) follow(p *soakProcess, process int, from io.Reader) {
	scanner := bufio.NewScanner(from)
	for scanner.Scan() {
		var line soakLine
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			s.Errorf("process %d wrote %q: %v", process, scanner.Text(), err)
			continue
		}
		if line.Goroutines == 0 {
			endpoint := slices.IndexFunc(s.proxies, func(p *rabbittest.Proxy) bool { return p.Addr() == line.Endpoint })
			s.ledger.handle(process, endpoint, line)
			continue
		}
		p.mu.Lock()
		if p.first.Goroutines == 0 {
			p.first = line
		}
		p.last = line
		p.mu.Unlock()
	}
}

func (p *soakProcess) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait() // says that it was killed
	p.read.Wait()
}

// stop ends the processes in good order.
func (s *soak) stop() {
	for _, p := range s.processes {
		s.must(p.cmd.Process.Signal(syscall.SIGTERM))
	}
	for i, p := range s.processes {
		if err := p.cmd.Wait(); err != nil {
			s.Errorf("process %d: %v", i, err)
		}
		p.read.Wait()
	}
}

// faultBook counts faults, and keeps a line for each.
type faultBook struct {
	mu    sync.Mutex
	count map[string]int
	lines []string
}

func (b *faultBook) record(kind, targets string, began time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count == nil {
		b.count = map[string]int{}
	}
	b.count[kind]++
	line := fmt.Sprintf("%s %s for %v: %s", began.Format(time.StampMilli), targets, time.Since(began).Round(time.Millisecond), kind)
	if err != nil {
		line += fmt.Sprintf(": it has failed: %v", err)
	}
	b.lines = append(b.lines, line)
}

// tell prints what it has come to.
func (s *soak) tell(lasted time.Duration) {
	var text strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	lost, unexplained := s.ledger.lost(), s.ledger.unexplained()
	l := s.ledger
	sum := audience{}
	say("\n%-20s %10s %10s %6s %6s %12s", "", "confirmed", "handled", "lost", "twice", "longest gap")
	for _, name := range slices.Sorted(maps.Keys(l.audiences)) {
		a := l.audiences[name]
		say("%-20s %10d %10d %6d %6d %12v", name, a.confirmed, a.handled, a.missing, a.twice, a.gap.Round(time.Millisecond))
		sum.confirmed, sum.handled, sum.missing, sum.twice = sum.confirmed+a.confirmed, sum.handled+a.handled, sum.missing+a.missing, sum.twice+a.twice
	}
	say("%-20s %10d %10d %6d %6d %12v", "all", sum.confirmed, sum.handled, sum.missing, sum.twice, l.gap.Round(time.Millisecond))
	say("lasted                 %v", lasted.Round(time.Second))
	say("unexplained duplicates %d", len(unexplained))
	for i, p := range s.processes {
		say("process %d, %8v     goroutines %d to %d, heap %.1f to %.1f MiB", i, p.last.At.Sub(p.began).Round(time.Second),
			p.first.Goroutines, p.last.Goroutines, float64(p.first.Heap)/(1<<20), float64(p.last.Heap)/(1<<20))
	}
	s.tellAvailability(say)
	failed := 0
	for _, kind := range slices.Sorted(maps.Keys(s.faults.count)) {
		say("faults                 %d %s", s.faults.count[kind], kind)
	}
	for _, line := range s.faults.lines {
		if strings.Contains(line, "it has failed") {
			failed++
			say("%s", line)
		}
	}
	for _, t := range unexplained[:min(len(unexplained), 20)] {
		say("handled twice, and nothing tells why: %s (%s): %v, process %d, proxy %d; %v later in process %d, proxy %d", t.id, t.audience,
			t.first.at.Format(time.StampMilli), t.first.process, t.first.endpoint, t.second.at.Sub(t.first.at).Round(time.Millisecond), t.second.process, t.second.endpoint)
	}
	slices.Sort(lost)
	for _, id := range lost[:min(len(lost), 50)] {
		say("lost: %s", id)
	}
	s.must(os.WriteFile(filepath.Join(s.dir, "faults"), []byte(strings.Join(s.faults.lines, "\n")+"\n"), 0o600))
	s.Log(text.String())
	if len(lost) > 0 {
		s.Errorf("%d messages were lost; see %s", len(lost), s.dir)
	}
	if failed > 0 {
		s.Logf("%d faults could not be played, or not be mended", failed)
	}
}

// tellAvailability prints what everhop replay says of the journals.
func (s *soak) tellAvailability(say func(string, ...any)) {
	folders, err := filepath.Glob(filepath.Join(s.dir, "journals", "*"))
	s.must(err)
	least, sum, who := 1.0, 0.0, ""
	var longest time.Duration
	var gaps, outages int
	for _, folder := range folders {
		var all history.Summary
		for e, err := range journal.Read(folder) {
			if err != nil {
				s.Errorf("%s: %v", folder, err)
				break
			}
			all.Apply(e)
		}
		r := all.Report()
		share, _ := r.Availability()
		if sum += share; share <= least {
			least, who = share, filepath.Base(folder)
		}
		longest, gaps, outages = max(longest, r.Longest.Duration), gaps+int(r.Gaps), outages+r.Outages
	}
	say("availability           %.2f %% of %d consumers, at least %.2f %% (%s)", 100*sum/float64(len(folders)), len(folders), 100*least, who)
	say("outages                %d, the longest %v; %d gaps in journals", outages, longest.Round(time.Millisecond), gaps)
}
