package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

// programEnv makes the test binary be everhop.
const programEnv = "EVERHOP_TEST_PROGRAM"

// patience is for what happens at once on an idle machine.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
	}
	if setting := os.Getenv(oneAckEnv); setting != "" {
		if err := oneAck(setting); err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Unsetenv(urlVariable)
	rabbittest.Main(m, func() error { return goleak.Find() })
}

// program is a running everhop.
type program struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr transcript
}

// prepare makes an everhop that is not started yet. It gets the shared node's URL in EVERHOP_URL.
func prepare(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(os.Args[0], args...)}
	p.cmd.Env = append(os.Environ(), programEnv+"=1", urlVariable+"="+rabbittest.Shared(t).URL(),
		"GORACE=atexit_sleep_ms=0") // otherwise the race detector delays every end by 1 s
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	return p
}

func (p *program) start() *program {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	})
	return p
}

// wait waits for the end and expects an exit status.
func (p *program) wait(status int) {
	p.t.Helper()
	overdue := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	err := p.cmd.Wait()
	if !overdue.Stop() {
		p.t.Errorf("%v did not end", p.cmd.Args[1:])
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != status {
		p.t.Errorf("%v: %v, want exit status %d; standard error:\n%s", p.cmd.Args[1:], p.cmd.ProcessState, status, &p.stderr)
	}
}

func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// logs waits until standard error contains a text.
func (p *program) logs(text string) {
	p.t.Helper()
	rabbittest.Eventually(p.t, patience, "standard error has "+text, func() bool { return strings.Contains(p.stderr.String(), text) })
}

// everhop runs a program to its end.
func everhop(t *testing.T, status int, stdin string, args ...string) *program {
	t.Helper()
	p := prepare(t, args...)
	p.cmd.Stdin = strings.NewReader(stdin)
	p.start().wait(status)
	return p
}

// transcript is what a program wrote so far.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// queues counts them, so that a test that is repeated gets another one.
var queues atomic.Int64

// newQueue declares a queue with messages in it, and returns its name.
func newQueue(t testing.TB, bodies ...string) string {
	t.Helper()
	queue := fmt.Sprintf("everhop.%s.%d", t.Name(), queues.Add(1))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	plan := planFor(t)
	plan.Subscriptions = []broker.Subscription{{Queue: queue, Declare: &broker.QueueOptions{Durable: true}, Prefetch: 1}}
	session, err := broker.Open(ctx, plan, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.Consume(ctx, 0, broker.Intake{}); err != nil {
		t.Fatal(err)
	}
	if err := session.Close(ctx); err != nil {
		t.Fatal(err)
	}
	publishMany(t, queue, bodies)
	return queue
}

func publishMany(t testing.TB, queue string, bodies []string) {
	t.Helper()
	messages := make([]broker.Message, len(bodies))
	for i, body := range bodies {
		messages[i] = broker.Message{RoutingKey: queue, Body: []byte(body)}
	}
	publish(t, messages)
}

func publishOne(t testing.TB, m broker.Message) {
	t.Helper()
	publish(t, []broker.Message{m})
}

// publish returns when the broker has confirmed all of them.
func publish(t testing.TB, messages []broker.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(len(messages))*time.Millisecond)
	defer cancel()
	publisher, err := broker.OpenPublisher(ctx, planFor(t))
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close(ctx)
	const ahead = 200 // the publisher waits at 256
	confirms := make([]*broker.Confirm, len(messages))
	for i := range len(messages) + ahead {
		if i >= ahead {
			if err := confirms[i-ahead].Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if i < len(messages) {
			if confirms[i], err = publisher.Publish(ctx, messages[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func planFor(t testing.TB) broker.Plan {
	t.Helper()
	endpoint, err := broker.ParseEndpoint(rabbittest.Shared(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	return broker.Plan{Endpoints: []broker.Endpoint{endpoint}}
}

// holds expects so many messages in a queue, all of them ready. The broker puts back those of a
// closed connection a moment later.
func holds(t testing.TB, queue string, want int) {
	t.Helper()
	rabbittest.NeedsControl(t)
	var ready, unacked int
	defer func() {
		if t.Failed() {
			t.Logf("queue %s: %d ready, %d unacknowledged, want %d ready", queue, ready, unacked, want)
		}
	}()
	rabbittest.Eventually(t, patience, "the queue's depth", func() bool {
		var err error
		if ready, unacked, err = rabbittest.Shared(t).Depth(t.Context(), queue); err != nil {
			t.Fatal(err)
		}
		return ready == want && unacked == 0
	})
}

func newProxy(t *testing.T) *rabbittest.Proxy {
	t.Helper()
	proxy, err := rabbittest.NewProxy(rabbittest.Shared(t).Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	return proxy
}

// inProcess runs everhop in this process: for what needs no process of its own.
func inProcess(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = run(t.Context(), append([]string{}, args...), io.LimitReader(nil, 0), &out, &err)
	return status, out.String(), err.String()
}

// The packages' names are no news for who typed a command.
func TestComplain(t *testing.T) {
	tests := []struct{ text, want string }{
		{"consumer: gave up while Connecting (auth at h:1): broker: open at h:1: 403 ACCESS_REFUSED", "gave up while Connecting (auth at h:1): open at h:1: 403 ACCESS_REFUSED"},
		{"--url: URL 2: broker: bad URL\nURL 3: broker: bad URL", "--url: URL 2: bad URL; URL 3: bad URL"},
		{"consumer: broker: fsm: x", "x"},
		{"fsm: x: consumer: broker: y", "x: y"},
		{"broker: 404 NOT_FOUND - no queue 'broker: x'", "404 NOT_FOUND - no queue 'broker: x'"},
		{`unknown command "broker: x"`, `unknown command "broker: x"`},
		{"amqp://u:pw@h", "amqp://***@h"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		complain(&out, tt.text)
		if diff := cmp.Diff("everhop: "+tt.want+"\n", out.String()); diff != "" {
			t.Error(diff)
		}
	}
}
