package consumer_test

import (
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// matrixFault is one that can hit a consumer, and how long it lasts.
type matrixFault struct {
	name   string
	faults []brokertest.Fault // played together
	lasts  time.Duration
	heal   func(*brokertest.Server)
	silent time.Duration // nothing tells of it but that nothing comes in, for so long
	waits  bool          // for the next delivery: the silence begins there
	class  broker.Class  // of the error that a connection ends with which is consumed from; "" if it does not
}

// outage is how long those faults last that somebody has to mend.
const outage = 10 * time.Second

// promise is how long a dead peer may go unnoticed. Where the broker can still send, what it sends counts
// as life.
const promise = broker.DefaultDrainTimeout + broker.DefaultProbeTimeout

var matrixFaults = []matrixFault{
	{name: "reset", faults: list(brokertest.Reset()), class: broker.Network},
	{name: "hang-up", faults: list(brokertest.HangUp()), class: broker.Network},
	{name: "closed-320", faults: list(brokertest.CloseConnection(320, "closed by an operator")), class: broker.BrokerShutdown},
	{name: "closed-501", faults: list(brokertest.CloseConnection(501, "the broker took offence")), class: broker.Protocol},
	{name: "silence", faults: list(brokertest.Freeze(brokertest.Both)), silent: promise},
	{name: "silence-to-client", faults: list(brokertest.Freeze(brokertest.ToClient)), silent: promise},
	{name: "silence-to-broker", faults: list(brokertest.Freeze(brokertest.FromClient)), silent: promise + time.Second},
	{name: "pause", faults: list(brokertest.Freeze(brokertest.Both)), lasts: time.Second, heal: now(brokertest.Thaw())},
	{name: "no-heartbeats", faults: list(brokertest.StopHeartbeats())},
	{name: "slow", faults: list(brokertest.Delay(300 * time.Millisecond))},
	{name: "drip", faults: list(brokertest.Drip(time.Millisecond))},
	{name: "split-frames", faults: list(brokertest.SplitFrames())},
	{name: "large-header", faults: list(brokertest.LargeHeader())},
	{name: "garbage", faults: list(brokertest.Garbage()), class: broker.Protocol},
	{name: "endless-body", faults: list(brokertest.StopInBody()), silent: promise, waits: true},
	{name: "outage", faults: list(brokertest.RefuseConnections(), brokertest.Reset()), lasts: outage,
		heal: func(s *brokertest.Server) { _ = s.AcceptConnections() }},
	{name: "restart", faults: list(brokertest.StopApp()), lasts: outage,
		heal: func(s *brokertest.Server) { _ = s.StartApp() }},
	{name: "password", faults: list(brokertest.SetPassword("guest", "another"), brokertest.Reset()), lasts: outage,
		heal: func(s *brokertest.Server) { s.SetPassword("guest", "guest") }},
	{name: "blocked", faults: list(brokertest.Block("low on memory")), lasts: outage, heal: now(brokertest.Unblock())},
	{name: "cancelled", faults: list(brokertest.CancelConsumers())},
	{name: "channel-404", faults: list(brokertest.CloseChannel(404, "no such thing"))},
	{name: "channel-406", faults: list(brokertest.CloseChannel(406, "not as it was"))},
	{name: "consumer-timeout", faults: list(brokertest.ConsumerTimeout())},
	{name: "queue-deleted", faults: list(brokertest.DeleteQueue(stageQueue))},
	// 61 s, since every other second a drain timeout is due, and either could come first.
	{name: "lost-frame", faults: list(brokertest.Drop()), lasts: 61 * time.Second, heal: func(s *brokertest.Server) {
		if q, _ := s.Queue(stageQueue); q.Unacknowledged > 0 { // for ever: the broker's consumer_timeout ends it
			s.Inject(brokertest.Now, brokertest.ConsumerTimeout())
		}
	}},
}

func list(faults ...brokertest.Fault) []brokertest.Fault { return faults }

func now(f brokertest.Fault) func(*brokertest.Server) {
	return func(s *brokertest.Server) { s.Inject(brokertest.Now, f) }
}

// matrixPlace is where a fault is played: a state, and a moment in it.
type matrixPlace struct {
	name string
	// reach brings the consumer to just before the moment.
	reach func(*stage)
	when  brokertest.Moment
	// then makes the moment come, once the fault waits for it.
	then func(*stage)
}

// steps of connecting, in order: what the client sends, or is answered.
var steps = []struct {
	name string
	when brokertest.Moment
	// onChannel is the moment when only the channel is revived; zero if the step is of the connection.
	onChannel brokertest.Moment
}{
	{"dial", brokertest.OnConnect(1), brokertest.Now},
	{"start", brokertest.OnMethod("connection.start-ok", 1), brokertest.Now},
	{"tune", brokertest.OnMethod("connection.tune-ok", 1), brokertest.Now},
	{"open", brokertest.OnMethod("connection.open", 1), brokertest.Now},
	{"control", brokertest.OnMethod("channel.open", 1), brokertest.Now},
	{"close", brokertest.Now, brokertest.OnMethod("channel.close", 1)},
	{"channel", brokertest.OnMethod("channel.open", 2), brokertest.OnMethod("channel.open", 1)},
	{"exchange", brokertest.OnMethod("exchange.declare", 1), brokertest.OnMethod("exchange.declare", 1)},
	{"queue", brokertest.OnMethod("queue.declare", 1), brokertest.OnMethod("queue.declare", 1)},
	{"bind", brokertest.OnMethod("queue.bind", 1), brokertest.OnMethod("queue.bind", 1)},
	{"qos", brokertest.OnMethod("basic.qos", 1), brokertest.OnMethod("basic.qos", 1)},
	{"consume", brokertest.OnMethod("basic.consume", 1), brokertest.OnMethod("basic.consume", 1)},
	{"confirm", brokertest.OnMethod("basic.consume-ok", 1), brokertest.OnMethod("basic.consume-ok", 1)},
}

var matrixPlaces = places()

func places() []matrixPlace {
	idle := func(s *stage) { s.start(); s.settled(consumer.Consuming) }
	busy := func(s *stage) { idle(s); s.publishLong() }
	lose := func(f brokertest.Fault) func(*stage) { // with deliveries in flight
		return func(s *stage) { s.publish(); s.sleep(10 * time.Millisecond); s.server.Inject(brokertest.Now, f) }
	}
	places := []matrixPlace{{name: "disconnected/before-run", when: brokertest.Now, then: (*stage).start}}
	for _, step := range steps {
		if step.when != brokertest.Now {
			places = append(places, matrixPlace{name: "connecting/" + step.name, when: step.when, then: (*stage).start})
		}
	}
	places = append(places,
		matrixPlace{name: "consuming/idle", reach: idle, when: brokertest.Now},
		matrixPlace{name: "consuming/deliver", reach: idle, when: brokertest.OnMethod("basic.deliver", 3), then: (*stage).publish},
		matrixPlace{name: "consuming/ack", reach: idle, when: brokertest.OnMethod("basic.ack", 3), then: (*stage).publish},
		matrixPlace{name: "consuming/busy", reach: busy, when: brokertest.Now},
		matrixPlace{name: "check/busy", reach: busy, when: brokertest.OnMethod("basic.qos", 1)},
		matrixPlace{name: "check/probe", reach: idle, when: brokertest.OnMethod("basic.qos", 1)},
		matrixPlace{name: "check/answer", reach: idle, when: brokertest.OnMethod("basic.qos-ok", 1)},
	)
	for _, step := range steps {
		if step.when != brokertest.Now {
			places = append(places, matrixPlace{
				name: "reviving/" + step.name, reach: idle, when: step.when, then: lose(brokertest.Reset()),
			})
		}
	}
	for _, step := range steps {
		if step.onChannel != brokertest.Now {
			places = append(places, matrixPlace{
				name: "reviving-channel/" + step.name, reach: idle, when: step.onChannel, then: lose(brokertest.CancelConsumers()),
			})
		}
	}
	stop := func(s *stage) { s.publish(); s.sleep(30 * time.Millisecond); s.stop() } // handlers are at work
	return append(places,
		matrixPlace{name: "stopping/cancel", reach: idle, when: brokertest.OnMethod("basic.cancel", 1), then: stop},
		matrixPlace{name: "stopping/ack", reach: func(s *stage) { idle(s); stop(s) }, when: brokertest.OnMethod("basic.ack", 1)},
		matrixPlace{name: "stopping/close", reach: idle, when: brokertest.OnMethod("connection.close", 1), then: stop},
	)
}

// triggers are what moved the machine, for the matrix: how often an attempt failed is chance, and
// that a silent broker was probed and answered says nothing of a fault.
func triggers(events []fsm.Event) (names []string) {
	for i, e := range events {
		next := fsm.Trigger("")
		if i+1 < len(events) {
			next = events[i+1].Trigger
		}
		switch {
		case e.Trigger == consumer.DrainTimeout && next == consumer.HeartbeatOK, e.Trigger == consumer.HeartbeatOK:
		case e.Trigger == consumer.ReviveFailed && len(names) > 0 && names[len(names)-1] == string(e.Trigger):
		default:
			names = append(names, string(e.Trigger))
		}
	}
	return names
}
