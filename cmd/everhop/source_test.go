package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// twoQueues is a broker in this process with queues a and b, of 3 messages each.
func twoQueues(t *testing.T) *brokertest.Server {
	t.Helper()
	server := brokertest.NewServer(t)
	err := errors.Join(server.DeclareQueue("a", nil), server.Publish("a", "a1", "a2", "a3"),
		server.DeclareQueue("b", nil), server.Publish("b", "b1", "b2", "b3"))
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func TestConsumeSeveralQueues(t *testing.T) {
	tests := []struct {
		name, flags string
		want        []string // lines, sorted
	}{
		{"bodies", "", []string{"a1", "a2", "a3", "b1", "b2", "b3"}},
		{"records", "--output jsonl", []string{"a a1", "a a2", "a a3", "b b1", "b b2", "b b3"}},
		{"commands", "--exec", []string{"a a1", "a a2", "a a3", "b b1", "b b2", "b b3"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := twoQueues(t)
			args := append(strings.Fields("consume --count 6 --queue a --queue b --url "+server.URL()), strings.Fields(tt.flags)...)
			if tt.name == "commands" {
				args = append(args, `echo "$EVERHOP_QUEUE $(cat)"`)
			}
			status, stdout, stderr := inProcess(t, args...)
			if status != 0 {
				t.Fatal(stderr)
			}
			got := strings.Split(strings.TrimSpace(stdout), "\n")
			if tt.name == "records" {
				for i, line := range got {
					var r struct{ Queue, Body string }
					if err := json.Unmarshal([]byte(line), &r); err != nil {
						t.Fatal(err)
					}
					got[i] = r.Queue + " " + r.Body
				}
			}
			if slices.Sort(got); !slices.Equal(tt.want, got) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			for _, q := range server.Queues() {
				if q.Ready+q.Unacknowledged > 0 {
					t.Errorf("queue %s: %+v", q.Name, q)
				}
			}
		})
	}
}

// --count is for all of them together, and what is beyond it stays.
func TestConsumeCountsOverQueues(t *testing.T) {
	server := twoQueues(t)
	status, stdout, stderr := inProcess(t, "consume", "--count", "4", "--queue", "a", "--queue", "b", "--url", server.URL())
	if status != 0 || strings.Count(stdout, "\n") != 4 {
		t.Errorf("exit status %d, %q\n%s", status, stdout, stderr)
	}
	rabbittest.Eventually(t, patience, "two are left", func() bool { return ready(server, "a")+ready(server, "b") == 2 })
}

func ready(server *brokertest.Server, queue string) int {
	q, _ := server.Queue(queue)
	return q.Ready
}

func TestConsumeParksByQueue(t *testing.T) {
	for _, test := range []struct {
		flags string
		want  map[string]int
	}{
		{"", map[string]int{"a.parked": 3, "b.parked": 3}},
		{"--parking-queue p", map[string]int{"p": 6}},
	} {
		t.Run(test.flags, func(t *testing.T) {
			server := twoQueues(t)
			p := prepareAlone(t, append(strings.Fields("consume --attempts 1 --exec false --queue a --queue b --url "+server.URL()), strings.Fields(test.flags)...)...).start()
			for queue, n := range test.want {
				rabbittest.Eventually(t, patience, queue, func() bool { return ready(server, queue) == n })
			}
			p.end()
		})
	}
}

// A temporary queue has what the exchange gets meanwhile, and is gone with the consumer.
func TestConsumeBindTemporary(t *testing.T) {
	server := brokertest.NewServer(t)
	if err := server.DeclareExchange("events", "topic", nil); err != nil {
		t.Fatal(err)
	}
	p := prepareAlone(t, strings.Fields("consume --count 2 --bind events/user.# --bind events/order.new --url "+server.URL())...).start()
	p.logs(`"to":"Consuming"`)
	for _, key := range []string{"user.created", "order.old", "order.new"} {
		status, _, stderr := publishes(t, key, "publish", "--url", server.URL(), "--exchange", "events", "--routing-key", key)
		if want := map[bool]int{true: 1, false: 0}[key == "order.old"]; status != want { // to no queue
			t.Errorf("%s: exit status %d, %s", key, status, stderr)
		}
	}
	p.wait(0)
	if got := p.stdout.String(); got != "user.created\norder.new\n" {
		t.Errorf("standard output %q", got)
	}
	rabbittest.Eventually(t, patience, "the queue is gone", func() bool { return len(server.Queues()) == 0 })
}

// publishes runs everhop publish with one line of input.
func publishes(t *testing.T, line string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err transcript
	status = run(t.Context(), args, strings.NewReader(line), &out, &err)
	return status, out.String(), err.String()
}

// A command that fails on a message of a temporary queue gets it again: there is no name to make a parking queue of.
func TestConsumeTemporaryQueuePutsBack(t *testing.T) {
	f := newConsumption()
	if err := f.command().ParseFlags(strings.Fields("--bind events/a")); err != nil {
		t.Fatal(err)
	}
	if got := f.subscription().Retry.Poison; got != consumer.PutBack {
		t.Errorf("poison: %s", got)
	}
}

func TestConsumeDeclaresAndBinds(t *testing.T) {
	server := brokertest.NewServer(t)
	if err := server.DeclareExchange("events", "fanout", nil); err != nil {
		t.Fatal(err)
	}
	p := prepareAlone(t, strings.Fields("consume --count 2 --queue a --queue b --declare --declare-type quorum "+
		"--declare-argument x-max-length:int=9 --bind events --url "+server.URL())...).start()
	p.logs(`"to":"Consuming"`)
	if status, _, stderr := publishes(t, "news", "publish", "--url", server.URL(), "--exchange", "events"); status != 0 {
		t.Fatal(stderr)
	}
	p.wait(0)
	if got := p.stdout.String(); got != "news\nnews\n" {
		t.Errorf("standard output %q", got)
	}
	if strings.Contains(p.stderr.String(), "differs") {
		t.Error(&p.stderr)
	}
}

func TestSourceSubscription(t *testing.T) {
	tests := []struct {
		name, flags string
		want        consumer.Subscription
	}{
		{"exclusive", "--queue q --exclusive", consumer.Subscription{Exclusive: true}},
		{"priority", "--queue q --priority -5", consumer.Subscription{Arguments: map[string]any{"x-priority": int32(-5)}}},
		{"arguments", "--queue q --argument a=1 --argument b:int=1 --argument c:bool=true --priority 0", consumer.Subscription{
			Arguments: map[string]any{"a": "1", "b": int64(1), "c": true, "x-priority": int32(0)}}},
		{"type", "--queue q --declare --declare-type quorum", consumer.Subscription{
			Declare: &broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": "quorum"}}}},
		{"arguments of the queue", "--queue q --declare --declare-argument x-max-length:int=5", consumer.Subscription{
			Declare: &broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-max-length": int64(5)}}}},
		{"a stream is one", "--queue q --declare --stream-offset first --declare-argument x-max-age=1D", consumer.Subscription{
			Stream:  &consumer.Stream{Offset: "first"},
			Declare: &broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-max-age": "1D", "x-queue-type": "stream"}}}},
		{"temporary", "--bind x/a/b --bind y --declare-argument x-expires:int=5", consumer.Subscription{
			Bindings: []broker.Binding{{Exchange: "x", RoutingKey: "a/b"}, {Exchange: "y"}},
			Declare:  &broker.QueueOptions{Exclusive: true, Arguments: map[string]any{"x-expires": int64(5)}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newConsumption()
			if err := f.command().ParseFlags(strings.Fields(tt.flags)); err != nil {
				t.Fatal(err)
			}
			if err := f.source.check(); err != nil {
				t.Fatal(err)
			}
			var got consumer.Subscription
			f.source.apply(&got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSourceRefuses(t *testing.T) {
	tests := []struct{ flags, want string }{
		{"--queue a --queue a", `--queue: "a": it is there twice`},
		{"--queue=", `--queue: "": empty`},
		{"--bind /key", `--bind: "/key": expected EXCHANGE/KEY, such as events/user.#, or EXCHANGE for no key`},
		{"--bind x --declare", "--declare: --queue is missing; without one the queue is temporary, and created in any case"},
		{"--bind x --queue q", "--bind: with --queue, only with --declare"},
		{"--bind x --stream-offset next", "--stream-offset: a temporary queue is no stream"},
		{"--bind x --declare-argument x-queue-type=quorum", "--declare-argument x-queue-type: a temporary queue is always classic"},
		{"--bind x --poison park", "--parking-queue is missing, and a temporary queue has no name to make one of"},
		{"--queue q --declare-type quorum", "--declare-type: only with --declare"},
		{"--queue q --declare-type lazy", `--declare-type: "lazy": expected classic, quorum or stream`},
		{"--queue q --declare-argument a=b", "--declare-argument: only with --declare"},
		{"--queue q --declare-argument a", `--declare-argument: "a": expected NAME=VALUE, such as tenant=a or x-delay:int=5000`},
		{"--queue q --declare --declare-type quorum --declare-argument x-queue-type=quorum", "--declare-argument x-queue-type: with --declare-type, it is said twice"},
		{"--queue q --declare --declare-type quorum --stream-offset first", "--stream-offset: a queue of --declare-type quorum is no stream"},
		{"--queue q --declare --declare-argument x-queue-type=quorum --stream-offset first", "--stream-offset: a queue with that x-queue-type is no stream"},
		{"--queue q --argument x-stream-offset=first", "--argument x-stream-offset: use --stream-offset"},
		{"--queue q --argument x-priority:int=1 --priority 2", "--argument x-priority: with --priority, it is said twice"},
		{"--queue q --priority high", `--priority: "high": expected a whole number, such as 10 or -5`},
		{"--queue a --queue b --parking-queue b", "--parking-queue: it is the queue itself"},
		{"--queue a --queue " + strings.Repeat("q", 249), "--parking-queue is missing, and the queue's name is too long to make one of"},
	}
	for _, tt := range tests {
		t.Run(tt.flags, func(t *testing.T) { refuses(t, "consume", tt.flags, tt.want) })
	}
}

// refuses expects a wrong command line.
func refuses(t *testing.T, command, flags, want string) {
	t.Helper()
	status, stdout, stderr := inProcess(t, strings.Fields(command+" --url amqp://h "+flags)...)
	if want := "everhop: " + want + "; see 'everhop " + command + " --help'\n"; status != 2 || stdout != "" || stderr != want {
		t.Errorf("exit status %d, stdout %q, stderr\n%s\nwant 2 and\n%s", status, stdout, stderr, want)
	}
}
