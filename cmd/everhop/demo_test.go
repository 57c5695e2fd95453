package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// All that a user gets, and as long as it takes.
func TestDemo(t *testing.T) {
	t.Parallel()
	graph := filepath.Join(t.TempDir(), "run.dot")
	status, stdout, stderr := inProcess(t, "demo", "--dot", graph)
	if status != 0 || stderr != "" {
		t.Fatalf("exit status %d, stderr\n%s\nstdout\n%s", status, stderr, stdout)
	}
	if strings.ContainsAny(stdout, "\x1b\r") {
		t.Error("control characters, and this is no terminal")
	}
	// On a machine that stalls, amqp091-go's own deadline, half a second later, may win against the probe.
	const dead = `(HeartbeatFailed|ConnectionError)`
	const span = `(<1 ms|\d+ ms|\d+\.\d s)`
	for _, want := range []string{
		`connection reset +` + span + ` +` + span + ` +\d+`,
		`network silent +[3-9]\.\d s +[3-9]\.\d s +[1-9]\d*`,
		`broker restart +` + span + ` +[2-9]\.\d s +\d+`,
		`  since its return +` + span,
		`consumer cancelled +` + span + ` +` + span + ` +\d+`,
		`\d{3,} messages published and confirmed, \d{3,} handled, 0 lost\.`,
		`\d+ redelivered, \d+ handled more than once .*`,
		`  with counts +dot -Tsvg ` + graph + ` > run\.svg`,
		` *\d+\.\d s  Consuming -> HeartbeatCheck +DrainTimeout +after \d\.\d s`,
		` *\d+\.\d s  HeartbeatCheck -> Reviving +` + dead + ` +after \d\.\d s`,
		` *\d+\.\d s  Reviving -> Reviving +ReviveFailed +after .* attempt 1`,
		` *\d+\.\d s  The broker comes back\.`,
		` *\d+\.\d s  Consuming -> Disconnected +Stop +after .*`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(stdout) {
			t.Errorf("no line like %s", want)
		}
	}
	if got := strings.Count(stdout, "Handled again after"); got != len(demoFaults()) {
		t.Errorf("%d faults overcome, want %d", got, len(demoFaults()))
	}
	if t.Failed() {
		t.Log(stdout)
	}
	drawn(t, graph, "Connect (1)", "ChannelError (1)", "Revived (4)", "Stop (1)", "RetriesExhausted")
}

// drawn expects Graphviz to draw all states, and so many labels.
func drawn(t *testing.T, graph string, labels ...string) {
	t.Helper()
	dot, err := exec.LookPath("dot")
	if err != nil {
		missing := t.Skip
		if os.Getenv("EVERHOP_TEST_REQUIRE") == "1" {
			missing = t.Fatal
		}
		missing("needs Graphviz: apt-get install graphviz")
	}
	svg, err := exec.Command(dot, "-Tsvg", graph).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, svg)
	}
	for _, state := range consumer.Lifecycle().States() {
		labels = append(labels, string(state))
	}
	for _, label := range labels {
		if !strings.Contains(string(svg), ">"+label+"</text>") {
			t.Errorf("%s is not drawn", label)
		}
	}
}

// shortDemonstration plays other faults, and in less time.
func shortDemonstration(out *transcript, faults ...fault) *demonstration {
	d := newDemonstration(newScreen(out, func() {}))
	d.faults = faults
	d.pause = 100 * time.Millisecond
	d.hurry = d.patience // a busy machine may need longer than a user would wait
	return d
}

func TestDemoShort(t *testing.T) {
	t.Parallel()
	var out transcript
	r, err := shortDemonstration(&out, connectionReset(), brokerRestart(200*time.Millisecond), consumerCancelled()).run(t.Context(), t.Context())
	if err != nil || r.tally.published == 0 || r.tally.handled != r.tally.published || r.tally.lost != 0 || len(r.outcomes) != 3 {
		t.Errorf("%v, %+v\n%s", err, r, &out)
	}
	for _, o := range r.outcomes {
		if o.noticed == absent || o.handled < o.noticed {
			t.Errorf("%s: %+v", o.fault, o)
		}
	}
	if restart := r.outcomes[1]; restart.ended-restart.began < 200*time.Millisecond || restart.handled < 200*time.Millisecond {
		t.Errorf("the broker was away for less than it should: %+v", restart)
	}
}

// Whenever somebody wants to stop, it is done at once, and in order.
func TestDemoInterrupted(t *testing.T) {
	in := func(state fsm.State) func(*history) bool { // or just past it: some states last for less than a look
		return func(h *history) bool {
			return slices.ContainsFunc(h.events, func(e event) bool { return e.To == state })
		}
	}
	tests := []struct {
		name  string
		fault fault
		when  func(*history) bool
	}{
		{"at once", connectionReset(), func(*history) bool { return true }},
		{"connecting", connectionReset(), in(consumer.Connecting)},
		{"before the fault", connectionReset(), func(h *history) bool { return len(h.messages) > 2 }},
		{"reset", connectionReset(), in(consumer.Reviving)},
		{"silent", networkSilent(), in(consumer.HeartbeatCheck)},
		{"silent, revived", networkSilent(), func(h *history) bool {
			return h.outcome(incident{began: 0}, forever).handled != absent
		}},
		{"restarting", brokerRestart(time.Hour), in(consumer.Reviving)},
		{"cancelled", consumerCancelled(), in(consumer.Reviving)},
	}
	for _, tt := range tests {
		for _, twice := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/twice %v", tt.name, twice), func(t *testing.T) {
				t.Parallel()
				var out transcript
				d := shortDemonstration(&out, tt.fault)
				soft, stop := context.WithCancel(t.Context())
				hard, kill := context.WithCancel(t.Context())
				defer kill()
				var stopped time.Time
				go func() {
					defer stop()
					d.ledger.await(t.Context(), tt.when)
					stopped = time.Now()
					if twice {
						kill()
					}
				}()
				r, err := d.run(soft, hard)
				<-soft.Done()
				if took := time.Since(stopped); err != nil || took > d.patience || r.tally.lost > 0 {
					t.Errorf("%v after %v: %+v\n%s", err, took, r.tally, &out)
				}
				if !twice && r.tally.waiting > 0 {
					t.Errorf("%d messages were left behind\n%s", r.tally.waiting, &out)
				}
				if state := r.events[len(r.events)-1].To; state != consumer.Disconnected {
					t.Errorf("it ends in %s", state)
				}
			})
		}
	}
}

// What goes wrong beyond what was planned is told, and no success.
func TestDemoFails(t *testing.T) {
	away := fault{
		name: "away", words: []string{"the consumer is kept away."},
		strike: func(s *brokertest.Server) {
			s.RefuseConnections()
			s.Inject(brokertest.Now.Of(demoName), brokertest.Reset())
		},
	}
	emptied := away
	emptied.outage, emptied.mend = 300*time.Millisecond, func(s *brokertest.Server) error {
		s.DeleteQueue(demoQueue)
		return s.AcceptConnections()
	}
	forbidden := away
	forbidden.strike = func(s *brokertest.Server) {
		s.SetPassword("guest", "another one")
		s.Inject(brokertest.Now.Of(demoName), brokertest.Reset())
	}
	broken := away
	broken.mend = func(*brokertest.Server) error { return os.ErrPermission }
	tests := []struct {
		name  string
		fault fault
		want  []string
		lost  bool
	}{
		{"not overcome", away, []string{`^away: not overcome within 1s\n`, `\n\d+ messages not handled, and still in the queue$`}, false},
		{"messages lost", emptied, []string{`\n\d+ messages lost$`}, true},
		{"consumer gives up", forbidden, []string{`ACCESS_REFUSED`}, false},
		{"broker stays away", broken, []string{`^permission denied`}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out transcript
			d := shortDemonstration(&out, tt.fault)
			d.patience = time.Second
			r, err := d.run(t.Context(), t.Context())
			for _, want := range tt.want {
				if !regexp.MustCompile(want).MatchString(fmt.Sprint(err)) {
					t.Errorf("the error is %q, want %s", err, want)
				}
			}
			if (r.tally.lost > 0) != tt.lost {
				t.Errorf("%+v", r.tally)
			}
		})
	}
}

func TestDemoUnwritableGraph(t *testing.T) {
	status, stdout, stderr := inProcess(t, "demo", "--dot", "/no/such/folder/run.dot")
	if want := "everhop: --dot: open /no/such/folder/run.dot: "; status != 1 || stdout != "" || !strings.HasPrefix(stderr, want) {
		t.Errorf("exit status %d, stdout %q, stderr %q; want 1 and %q", status, stdout, stderr, want)
	}
}

// prepareDemo makes a demo that is not started yet. It needs no node.
func prepareDemo(t *testing.T, env ...string) *program {
	p := &program{t: t, cmd: exec.Command(os.Args[0], "demo")}
	p.cmd.Env = append(append(os.Environ(), programEnv+"=1", "GORACE=atexit_sleep_ms=0"), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	return p
}

// As in `everhop demo | head -1`.
func TestDemoReaderGone(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := prepareDemo(t)
	p.cmd.Stdout = write
	p.start()
	write.Close()
	if _, err := read.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	read.Close()
	p.wait(0)
	if got := p.stderr.String(); got != "" {
		t.Errorf("stderr: %s", got)
	}
}

func TestDemoSignal(t *testing.T) {
	t.Parallel()
	p := prepareDemo(t).start()
	rabbittest.Eventually(t, patience, "the first fault", func() bool { return strings.Contains(p.stdout.String(), "Fault 1 of 4") })
	p.signal(syscall.SIGINT)
	p.wait(0)
	for _, want := range []string{
		"\ninterrupt: ending; a second signal ends at once\n", "connection reset  ", " 0 lost.\n", "\nWhere to go next\n",
	} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("no %q in\n%s", want, &p.stdout)
		}
	}
	if got := p.stderr.String(); got != "" {
		t.Errorf("stderr: %s", got)
	}
}
