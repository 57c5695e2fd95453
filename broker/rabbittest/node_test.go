package rabbittest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

const patience = time.Minute

// dial opens a connection and a channel that end with the test.
func dial(t *testing.T, url string) (*amqp.Connection, *amqp.Channel) {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseDeadline(time.Now().Add(time.Second)) })
	channel, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return conn, channel
}

func publish(t *testing.T, channel *amqp.Channel, queue, body string) {
	t.Helper()
	if err := channel.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirm, err := channel.PublishWithDeferredConfirmWithContext(t.Context(), "", queue, false, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := confirm.WaitContext(t.Context()); !ok || err != nil {
		t.Fatalf("not confirmed: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConsumersAndDepth(t *testing.T) {
	NeedsControl(t)
	node := Shared(t)
	for _, queue := range []string{"consumers-and-depth", `"names", é, and 'quotes'`} {
		t.Run(queue, func(t *testing.T) {
			if count, err := node.Consumers(t.Context(), queue); count != -1 || err != nil {
				t.Errorf("before declare: Consumers = %d, %v, want -1", count, err)
			}
			if _, _, err := node.Depth(t.Context(), queue); !errors.Is(err, ErrNoQueue) {
				t.Errorf("before declare: Depth error = %v, want ErrNoQueue", err)
			}
			_, channel := dial(t, node.URL())
			_, err := channel.QueueDeclare(queue, false, false, true, false, nil)
			must(t, err)
			for range 3 {
				publish(t, channel, queue, "message")
			}
			must(t, channel.Qos(1, 0, false))
			_, err = channel.Consume(queue, "", false, false, false, false, nil)
			must(t, err)

			Eventually(t, patience, "one consumer, one delivery, two waiting", func() bool {
				count, err := node.Consumers(t.Context(), queue)
				must(t, err)
				ready, unacked, err := node.Depth(t.Context(), queue)
				must(t, err)
				return count == 1 && ready == 2 && unacked == 1
			})
		})
	}
}

// Without erl_call the same expressions go through rabbitmqctl.
func TestConsumersThroughCtl(t *testing.T) {
	NeedsControl(t)
	node := Shared(t)
	slow := &Node{layout: node.layout, tools: node.tools}
	slow.tools.erlCall = ""
	_, channel := dial(t, node.URL())
	queue, err := channel.QueueDeclare("", false, true, true, false, nil)
	must(t, err)
	if count, err := slow.Consumers(t.Context(), queue.Name); count != 0 || err != nil {
		t.Errorf("Consumers = %d, %v, want 0", count, err)
	}
	if count, err := slow.Consumers(t.Context(), "missing"); count != -1 || err != nil {
		t.Errorf("Consumers of a missing queue = %d, %v, want -1", count, err)
	}
}

func TestCloseConnections(t *testing.T) {
	NeedsControl(t)
	node := Shared(t)
	conn, _ := dial(t, node.URL())
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))

	must(t, node.CloseConnections(t.Context(), "on purpose"))
	if reason := receive(t, closed); reason == nil || reason.Code != amqp.ConnectionForced || !strings.Contains(reason.Reason, "on purpose") {
		t.Errorf("closed with %v, want 320 on purpose", reason)
	}
}

func TestMemoryAlarm(t *testing.T) {
	NeedsControl(t)
	node := Shared(t)
	conn, channel := dial(t, node.URL())
	blocked := conn.NotifyBlocked(make(chan amqp.Blocking, 2))
	// What is raised now is known to nobody for half a second.
	slow := "sys:suspend(rabbit_alarm), {ok, _} = timer:apply_after(500, sys, resume, [rabbit_alarm]), ok."
	must(t, node.expect(t.Context(), slow))

	must(t, node.MemoryAlarm(t.Context(), true))
	t.Cleanup(func() { must(t, node.MemoryAlarm(context.Background(), false)) })
	must(t, channel.PublishWithContext(t.Context(), "", "nowhere", false, false, amqp.Publishing{}))
	if b := receive(t, blocked); !b.Active {
		t.Errorf("blocking = %+v, want active", b)
	}
	must(t, node.MemoryAlarm(t.Context(), false))
	if b := receive(t, blocked); b.Active {
		t.Errorf("blocking = %+v, want inactive", b)
	}
}

func TestStopAppStartApp(t *testing.T) {
	NeedsControl(t)
	node := Shared(t)
	conn, _ := dial(t, node.URL())
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))

	must(t, node.StopApp(t.Context()))
	if reason := receive(t, closed); reason == nil { // 320, or what the client's last write met
		t.Error("closed without a reason")
	}
	if _, err := node.greet(t.Context()); err == nil {
		t.Error("a stopped application answers AMQP")
	}
	if _, err := node.Consumers(t.Context(), "any"); err == nil {
		t.Error("a stopped application counts consumers")
	}
	must(t, node.StartApp(t.Context()))
	dial(t, node.URL())
}

// While a node starts, another broker may hold its port.
func TestGreetKnowsItsNode(t *testing.T) {
	NeedsControl(t)
	node := Shared(t)
	version, err := node.greet(t.Context())
	must(t, err)
	if version != node.Version() || !regexp.MustCompile(`^\d+\.\d+\.\d+`).MatchString(version) {
		t.Errorf("greeted by version %q, and Version is %q", version, node.Version())
	}
	other := &Node{layout: node.layout}
	other.cluster = []string{strings.Replace(node.name, "@", "0@", 1)}
	if _, err := other.greet(t.Context()); err == nil {
		t.Errorf("%s was taken for %s", node.name, other.cluster)
	}
}

// The newest version is whatever Debian has by now.
func TestVersionAskedFor(t *testing.T) {
	NeedsControl(t)
	asked, has := os.Getenv(versionEnv), Shared(t).Version()
	if newest := asked == versions.Newest(); !newest && !strings.HasPrefix(has+".", asked) {
		t.Errorf("asked for RabbitMQ %q, got %s", asked, has)
	} else if newest && !strings.HasPrefix(has, "4.") {
		t.Errorf("asked for the newest RabbitMQ, got %s", has)
	}
}

// What asks a node may hang. It is given up with the server, and after a while anyway, to ask again.
func TestAwaitThoughEvalHangs(t *testing.T) {
	NeedsControl(t)
	const hangs = "sleep 600"
	asks := func(script string) (*Node, string) {
		t.Helper()
		node := &Node{layout: Shared(t).layout, tools: Shared(t).tools}
		dir := t.TempDir()
		node.tools.root = "" // in which it is not
		node.tools.erlCall = filepath.Join(dir, "erl_call")
		must(t, os.WriteFile(node.tools.erlCall, []byte("#!/bin/sh\ncd "+dir+"\n: >asked\n"+script+"\n"), 0o700))
		return node, filepath.Join(dir, "asked")
	}

	node, asked := asks(hangs)
	ended, result := make(chan struct{}), make(chan error, 1)
	go func() { result <- node.await(t.Context(), ended) }()
	Eventually(t, patience, "it was asked", func() bool {
		_, err := os.Stat(asked)
		return err == nil
	})
	close(ended)
	if err := receive(t, result); err == nil || !strings.Contains(err.Error(), "ended while it started") {
		t.Errorf("the server has ended: %v", err)
	}

	node, _ = asks("mkdir once 2>/dev/null && " + hangs + "\nprintf '{ok, true}'")
	ctx, cancel := context.WithTimeout(t.Context(), 6*evalTimeout)
	defer cancel()
	must(t, node.await(ctx, nil))
}

func TestRestartKeepsData(t *testing.T) {
	NeedsControl(t)
	node := Shared(t)
	_, channel := dial(t, node.URL())
	_, err := channel.QueueDeclare("restart", true, false, false, false, nil)
	must(t, err)
	publish(t, channel, "restart", "kept")
	must(t, node.Sync(t.Context()))

	must(t, node.Kill())
	must(t, node.Kill()) // idempotent
	if _, err := node.greet(t.Context()); err == nil {
		t.Error("a killed node answers AMQP")
	}
	for _, own := range node.ports {
		if isFree(own.number) {
			t.Errorf("%s was given away while the node is down", own.addr)
		}
	}
	must(t, node.Restart(t.Context()))
	// What rabbitmqctl asks before most of its commands; the listener answers while this is still false.
	if running, err := node.Eval(t.Context(), "rabbit:is_running()."); running != "true" || err != nil {
		t.Errorf("restarted, and running: %s, %v", running, err)
	}
	_, channel = dial(t, node.URL())
	message, ok, err := channel.Get("restart", true)
	if !ok || err != nil || string(message.Body) != "kept" {
		t.Errorf("after the restart: %q, %v, %v", message.Body, ok, err)
	}
	_, err = channel.QueueDelete("restart", false, false, false)
	must(t, err)
}

func TestCtlErrorShowsOutput(t *testing.T) {
	NeedsControl(t)
	_, err := Shared(t).Ctl(t.Context(), "no_such_command")
	if err == nil || !strings.Contains(err.Error(), "'no_such_command' not found") {
		t.Errorf("error = %v, want rabbitmqctl's own words", err)
	}
}

func TestCtlHonoursContext(t *testing.T) {
	NeedsControl(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Shared(t).Ctl(ctx, "eval", "timer:sleep(60000)."); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v, want deadline exceeded", err)
	}
}

// A start that is given up leaves nothing behind, and Stop may be called again.
func TestStartGivenUp(t *testing.T) {
	NeedsControl(t)
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v, want deadline exceeded", err)
	}
	left, err := os.ReadDir(os.TempDir())
	if len(left) != 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A node that cannot start says why.
func TestStartFails(t *testing.T) {
	NeedsControl(t)
	t.Setenv("TMPDIR", t.TempDir())
	layouts, err := newLayouts(1)
	must(t, err)
	node := &Node{layout: layouts[0], tools: Shared(t).tools}
	node.watchdog, err = startWatchdog(node.dir)
	must(t, err)
	must(t, os.WriteFile(node.path("rabbitmq.conf"), []byte("no.such.setting = 1\n"), 0o600))

	if err := node.Restart(t.Context()); err == nil || !strings.Contains(err.Error(), "no.such.setting") {
		t.Errorf("error = %v, want the node's own words", err)
	}
	must(t, node.Stop())
	must(t, node.Stop())
	if err := node.Restart(t.Context()); !errors.Is(err, errStopped) {
		t.Errorf("Restart after Stop: %v, want errStopped", err)
	}
}

func TestForeignNode(t *testing.T) {
	node, err := foreignNode("amqp://user:password@broker.test/vhost")
	must(t, err)
	if node.Addr() != "broker.test:5672" {
		t.Errorf("Addr = %s", node.Addr())
	}
	_, ctlErr := node.Ctl(t.Context(), "status")
	_, consumersErr := node.Consumers(t.Context(), "queue")
	for call, err := range map[string]error{
		"Ctl": ctlErr, "Consumers": consumersErr, "Kill": node.Kill(), "Restart": node.Restart(t.Context()),
		"StopApp": node.StopApp(t.Context()), "StartApp": node.StartApp(t.Context()),
	} {
		if !errors.Is(err, errForeignNode) {
			t.Errorf("%s: %v, want errForeignNode", call, err)
		}
	}
	if err := node.Stop(); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if _, err := foreignNode("amqp://user:secret@[broker"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error = %v, want one without the password", err)
	}
}

// receive waits for one value.
func receive[T any](t *testing.T, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(patience):
		t.Fatalf("no %T within %v", value, patience)
	}
	return value
}

// A question that takes long holds up no other for longer than that has time.
func TestEvalWhileAnotherIsAnswered(t *testing.T) {
	NeedsControl(t)
	node := Shared(t)
	slow, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() {
		_, err := node.Eval(slow, "timer:sleep(60000).")
		asked <- err
	}()
	Eventually(t, time.Minute, "the first one is asked", func() bool {
		free := node.asking.TryLock()
		if free {
			node.asking.Unlock()
		}
		return !free
	})
	brief, over := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer over()
	if _, err := node.Eval(brief, "ok."); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the end of its time", err)
	}
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("the first one: %v", err)
	}
	if answer, err := node.Eval(t.Context(), "ok."); answer != "ok" || err != nil {
		t.Errorf("afterwards: %s, %v", answer, err)
	}
}
