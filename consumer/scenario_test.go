package consumer_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// The scenarios play one fault each against RabbitMQ. Afterwards the consumer is subscribed and no
// message is lost, or Run has returned its error; and what was logged is what
// testdata/scenarios/NAME.txt says.

func TestScenarioFirstConnect(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.flows()
	r.stop()
	r.check("first_connect")
}

// survives plays a fault into a consumer that consumes, and wants it revived.
func (r *rig) survives(scenario string, fault func()) {
	r.Helper()
	r.start()
	r.flows()
	n := r.events()
	fault()
	r.awaitEvent(n, consumer.Revived)
	r.flows()
	r.stop()
	r.check(scenario)
}

// must is for the steps of a fault.
func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func TestScenarioConnectionReset(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.survives("connection_reset", r.proxy.Reset)
}

// The network to the peer is cut for good; new connections find another way. The broker does not
// learn that the old connection is gone, and keeps what it had sent there until its own heartbeat
// expires.
func TestScenarioSilentPeerIdle(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.config.Heartbeat = 4 * time.Second // the broker finds out within three of them
	r.survives("silent_peer", func() { r.proxy.FreezeCurrent(rabbittest.Both) })
}

// One way only: what the consumer sends does not arrive.
func TestScenarioSilentPeerOneWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.survives("silent_peer", func() { r.proxy.DropCurrent(rabbittest.ToBroker) })
}

// The handlers go on with what was delivered before; that must not hide that the peer is dead.
func TestScenarioSilentPeerBusy(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var old atomic.Int64 // handled of the first connection's
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if d.Generation == 1 {
			<-time.After(250 * time.Millisecond) // the work: 64 prefetched messages last much longer than the check
			old.Add(1)
		}
		return r.handle(ctx, d)
	}
	r.publish(100)
	r.start()
	r.await("the first message", func() bool { return r.c.Stats().Acknowledged > 0 })
	n := r.events()
	r.proxy.DropCurrent(rabbittest.Both)
	r.awaitEvent(n, consumer.Revived)
	if n := old.Load(); n >= consumer.DefaultPrefetch {
		t.Errorf("all %d prefetched messages were handled before the loss was noticed: the handlers were idle", n)
	}
	r.flows()
	r.stop()
	r.check("silent_peer")
}

func TestScenarioFrozenAfterHandshake(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.proxy.FreezeAfterOpen()
	r.start()
	r.awaitState(consumer.Reviving)
	r.proxy.Reset()
	r.proxy.Thaw()
	r.flows()
	r.stop()
	r.check("frozen_after_handshake")
}

func TestScenarioBrokerStopped(t *testing.T) {
	rabbittest.NeedsControl(t)
	r := newRig(t)
	r.survives("broker_stopped", func() {
		r.must(r.node.StopApp(t.Context()))
		r.awaitState(consumer.Reviving)
		r.must(r.node.StartApp(t.Context()))
	})
}

func TestScenarioBrokerKilled(t *testing.T) {
	rabbittest.NeedsControl(t)
	r := newRig(t)
	r.survives("broker_killed", func() {
		r.must(r.node.Sync(t.Context())) // the queue was declared just now
		r.must(r.node.Kill())
		r.awaitState(consumer.Reviving)
		r.must(r.node.Restart(t.Context()))
	})
}

func TestScenarioClosedByOperator(t *testing.T) {
	rabbittest.NeedsControl(t)
	r := newRig(t)
	r.survives("closed_by_operator", func() {
		r.must(r.node.CloseConnections(t.Context(), "maintenance"))
	})
	if !contains(r.log.String(), "maintenance") {
		t.Error("the operator's reason is not in the log")
	}
}

func TestScenarioQueueDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.survives("queue_deleted", func() {
		n := r.events()
		r.deleteQueue(r.queue)
		r.awaitEvent(n, consumer.ReviveFailed) // it is expected to exist, and waited for
		r.declare(r.queue)
	})
}

func TestScenarioMissingQueue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.deleteQueue(r.queue)
	r.start()
	n := r.awaitEvent(0, consumer.ReviveFailed)
	r.declare(r.queue)
	r.awaitEvent(n, consumer.Revived)
	r.flows()
	r.stop()
	r.check("missing_queue")
}

// A caller may want a missing queue to be fatal.
func TestScenarioMissingQueueFatal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.config.Subscriptions[0].Queue = "nowhere"
	r.config.GiveUpOn = []broker.Class{broker.NotFound}
	r.start()
	r.failsWith(broker.NotFound, consumer.Connecting, "declare the queue")
	r.check("missing_queue_fatal")
}

// The broker closes the channel with 406 because a delivery was not acknowledged in time.
func TestScenarioChannelError(t *testing.T) {
	rabbittest.NeedsControl(t)
	rabbittest.Needs(t, rabbittest.TimesOutChannels)
	r := newRig(t)
	r.erlang("application:set_env(rabbit, consumer_timeout, 500).")
	r.erlang("application:set_env(rabbit, channel_tick_interval, 500).")
	defer r.erlang("application:set_env(rabbit, consumer_timeout, 1800000).")
	defer r.erlang("application:set_env(rabbit, channel_tick_interval, 60000).")
	r.config.Subscriptions[0].Concurrency = 2 // the redelivery is handled while the first delivery still is
	release := make(chan struct{})
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		if !d.Redelivered {
			<-release
		}
		return r.handle(ctx, d)
	}
	r.start()
	r.awaitState(consumer.Consuming)
	r.publish(1)
	r.awaitEvent(0, consumer.Revived)
	r.erlang("application:set_env(rabbit, consumer_timeout, 1800000).")
	close(release)
	r.await("the late acknowledgement to be dropped", func() bool { return r.c.Stats().Stale > 0 })
	r.awaitHandled()
	r.await("the redelivery", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.handled["message 1"] == 2 })
	r.stop()
	r.check("channel_error")
	if !strings.Contains(r.log.String(), `"kind":"stale"`) {
		t.Error("the dropped acknowledgement is not in the log")
	}
}

func TestScenarioWrongPassword(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const password = "s3cret-that-is-wrong"
	r.config.URLs = []string{strings.Replace(r.config.URLs[0], "guest:guest@", "guest:"+password+"@", 1)}
	r.start()
	err := r.failsWith(broker.Auth, consumer.Connecting, "check user name, password")
	r.check("wrong_password")
	if strings.Contains(r.log.String()+err.Error(), password) {
		t.Error("the password is in the log or in the error")
	}
}

func TestScenarioUnknownVirtualHost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.config.URLs = []string{r.config.URLs[0] + "nowhere"}
	r.start()
	r.failsWith(broker.VHost, consumer.Connecting, "create the virtual host")
	r.check("unknown_vhost")
}

func TestScenarioTopologyMismatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.config.Subscriptions[0].Declare = &broker.QueueOptions{Durable: true, Strict: true, Arguments: map[string]any{"x-max-length": 7}}
	r.start()
	r.failsWith(broker.Precondition, consumer.Connecting, "make the declaration equal")
	r.check("topology_mismatch")
}

func TestScenarioRetriesExhausted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.config.MaxReviveAttempts = 3
	r.proxy.Refuse()
	r.start()
	err := r.failsWith(broker.Network, consumer.Reviving, "check that the broker runs")
	if !errors.Is(err, consumer.ErrRetriesExhausted) {
		t.Errorf("Run: %v; want ErrRetriesExhausted", err)
	}
	r.check("retries_exhausted")
}

// A consumer never publishes, so it goes on under a memory alarm, and is not taken for dead.
func TestScenarioMemoryAlarm(t *testing.T) {
	rabbittest.NeedsControl(t)
	r := newRig(t)
	r.publish(50)
	r.config.Subscriptions[0].Handler = func(ctx context.Context, d *consumer.Delivery) error {
		<-time.After(50 * time.Millisecond) // the work: it lasts into the alarm
		return r.handle(ctx, d)
	}
	r.start()
	r.awaitState(consumer.Consuming)
	t.Cleanup(func() { r.must(r.node.MemoryAlarm(context.Background(), false)) }) // others use the node, too
	r.must(r.node.MemoryAlarm(t.Context(), true))
	r.awaitHandled()
	n := r.events()
	n = r.awaitEvent(n, consumer.HeartbeatOK)
	r.awaitEvent(n, consumer.HeartbeatOK)
	r.must(r.node.MemoryAlarm(t.Context(), false))
	r.flows()
	r.stop()
	r.check("memory_alarm")
}

// The first endpoint dies for good, the second takes over.
func TestScenarioSecondEndpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second, err := rabbittest.NewProxy(r.node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	r.config.URLs = append(r.config.URLs, second.URL(r.node.URL()))
	r.survives("silent_peer", func() {
		n := r.events()
		r.proxy.Freeze(rabbittest.Both)
		r.awaitEvent(n, consumer.Revived)
		r.proxy.Reset() // the broker learns that the old connection is gone, and puts back what it had sent there
	})
	if at := r.lastEndpoint(); at != second.Addr() {
		t.Errorf("revived at %s, want the other endpoint %s", at, second.Addr())
	}
}

// One of two queues is deleted: while its subscription is being revived, the other goes on.
func TestScenarioOthersGoOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := r.queue + ".other"
	r.declare(other)
	r.config.Subscriptions = append(r.config.Subscriptions, consumer.Subscription{
		Queue: other, Handler: func(context.Context, *consumer.Delivery) error { return nil },
	})
	r.start()
	r.flows()
	r.deleteQueue(other)
	n := r.awaitEvent(0, consumer.ReviveFailed)
	r.publish(10)
	r.awaitHandled()
	if r.c.State() != consumer.Reviving {
		t.Errorf("state %s, want Reviving", r.c.State())
	}
	r.declare(other)
	r.awaitEvent(n, consumer.Revived)
	if e := consumer.EvidenceOf(r.lastEvent()); e.Generation != 1 {
		t.Errorf("the healthy connection was replaced: generation %d", e.Generation)
	}
	r.flows()
	r.stop()
	r.deleteQueue(other)
	r.check("others_go_on")
}

// While one subscription waits for its queue, the connection goes silent: that is noticed too, and the
// other subscription comes back.
func TestScenarioSilentWhileReviving(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.config.Subscriptions = append(r.config.Subscriptions, consumer.Subscription{
		Queue: "nowhere", Handler: func(context.Context, *consumer.Delivery) error { return nil },
	})
	r.config.ReviveBackoff = consumer.Backoff{Initial: time.Hour, Max: time.Hour} // the attempts do not find out
	r.start()
	r.publish(3)
	r.awaitHandled()
	r.awaitState(consumer.Reviving)
	r.proxy.FreezeCurrent(rabbittest.Both)
	r.await("the loss", func() bool {
		return contains(r.log.String(), `"level":"warn"`, "lost too, while reviving", `"class":"heartbeat"`) // by a probe, or an attempt
	})
	r.stop()
}

// A run that did not end in Disconnected is closed by the next one.
func TestScenarioProcessRestarted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.journal.Append(fsm.Event{V: fsm.Schema, Kind: fsm.KindTransition, Seq: 41, Run: "killed",
		From: consumer.Connecting, Trigger: consumer.Connected, To: consumer.Consuming}); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.flows()
	r.stop()
	r.check("process_restarted")
}

// failsWith waits for Run's error and checks that it names state, class and what to do.
func (r *rig) failsWith(class broker.Class, state fsm.State, advice string) error {
	r.Helper()
	err := r.end()
	var e *consumer.Error
	if !errors.As(err, &e) || e.Class != class || e.State != state || e.Endpoint != r.proxy.Addr() ||
		!strings.Contains(err.Error(), advice) {
		r.Fatalf("Run: %v; want class %s in state %s, and the advice %q", err, class, state, advice)
	}
	return err
}

func (r *rig) lastEndpoint() string {
	events := r.journal.Events()
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Trigger == consumer.Revived {
			return consumer.EvidenceOf(events[i]).Endpoint
		}
	}
	return ""
}

func (r *rig) erlang(expression string) (answer string) {
	r.Helper()
	answer, err := r.node.Eval(context.Background(), expression)
	r.must(err)
	return answer
}
