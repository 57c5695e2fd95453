package consumer_test

import (
	"slices"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// matrixFault is one that can hit a consumer, and how long it lasts.
type matrixFault struct {
	name   string
	of     scope
	gap    time.Duration      // how long a neighbour may be interrupted by it
	faults []brokertest.Fault // played together
	arm    func(*brokertest.Server)
	then   func(*stage) // once it is played
	lasts  time.Duration
	heal   func(*brokertest.Server)
	silent time.Duration // nothing tells of it but that nothing comes in, for so long
	heard  bool          // the broker goes on sending
	waits  bool          // for the next delivery: the silence begins there
	again  bool          // it comes again and again: how often is chance
	slow   time.Duration // how much longer than others it may take until all is well again
	dead   bool          // two other endpoints, which do not work, come before the broker's
	class  broker.Class  // of the error that a connection ends with which is consumed from; "" if it does not
}

// scope is what a fault is about, and so whom it may interrupt.
type scope string

const (
	itsOwn        scope = "subscription's own" // its queue, channel, message or handler: nobody else
	itsConnection scope = "connection's"       // whoever shares that
	itsBroker     scope = "broker's"           // all
)

const (
	// outage is how long those faults last that somebody has to mend, unanswered those in which a call is overdue.
	outage     = 10 * time.Second
	unanswered = 15 * time.Second
	// promise is how long a dead peer may go unnoticed. Where the broker can still send, what it sends counts
	// as life.
	promise = broker.DefaultDrainTimeout + broker.DefaultProbeTimeout
	// atOnce is how long it may take until a connection is there again: a second attempt may be needed.
	atOnce = 250 * time.Millisecond
	// lap is when an endpoint that has failed is tried again while another one has not answered yet.
	lap = time.Second
	// untilFound is how long it may take to find out which of two subscriptions a connection dies for: three times.
	untilFound = 100*time.Millisecond + 200*time.Millisecond + 400*time.Millisecond
	// jitter is how long it may take if all of a broker's clients come back at the same time.
	jitter = 2 * consumer.DefaultBackoffMax
)

var matrixFaults = []matrixFault{
	{name: "reset", of: itsConnection, gap: atOnce, faults: list(brokertest.Reset()), class: broker.Network},
	{name: "hang-up", of: itsConnection, gap: atOnce, faults: list(brokertest.HangUp()), class: broker.Network},
	{name: "closed-320", of: itsBroker, gap: jitter, faults: list(brokertest.CloseConnection(320, "closed by an operator")), class: broker.BrokerShutdown},
	{name: "closed-501", of: itsConnection, gap: atOnce, faults: list(brokertest.CloseConnection(501, "the broker took offence")), class: broker.Protocol},
	{name: "addresses", of: itsConnection, gap: lap + 2*atOnce, faults: list(brokertest.Reset()), dead: true, class: broker.Network},
	{name: "silence", of: itsConnection, gap: promise + atOnce, faults: list(brokertest.Freeze(brokertest.Both)), silent: promise},
	{name: "silence-to-client", of: itsConnection, gap: promise + atOnce, faults: list(brokertest.Freeze(brokertest.ToClient)), silent: promise},
	{name: "silence-to-broker", of: itsConnection, gap: promise + time.Second + atOnce, faults: list(brokertest.Freeze(brokertest.FromClient)), silent: promise + time.Second, heard: true},
	{name: "pause", of: itsConnection, gap: time.Second, faults: list(brokertest.Freeze(brokertest.Both)), lasts: time.Second, heal: now(brokertest.Thaw())},
	{name: "no-heartbeats", of: itsConnection, faults: list(brokertest.StopHeartbeats())},
	{name: "slow", of: itsConnection, gap: 6 * time.Second, faults: list(brokertest.Delay(300 * time.Millisecond))},
	{name: "drip", of: itsConnection, gap: atOnce, faults: list(brokertest.Drip(100 * time.Microsecond))},
	{name: "narrow", of: itsConnection, gap: 3200 * time.Millisecond, faults: list(brokertest.Limit(brokertest.Both, 1e6)), then: (*stage).publishLarge},
	{name: "split-frames", of: itsConnection, faults: list(brokertest.SplitFrames())},
	{name: "large-header", of: itsConnection, faults: list(brokertest.LargeHeader())},
	{name: "garbage", of: itsConnection, gap: atOnce, faults: list(brokertest.Garbage()), class: broker.Protocol},
	{name: "endless-body", of: itsConnection, gap: promise + atOnce, faults: list(brokertest.StopInBody()), silent: promise, waits: true},
	{name: "outage", of: itsBroker, gap: outage + jitter, faults: list(brokertest.RefuseConnections(), brokertest.Reset()), lasts: outage,
		heal: func(s *brokertest.Server) { _ = s.AcceptConnections() }},
	{name: "restart", of: itsBroker, gap: outage + jitter, faults: list(brokertest.StopApp()), lasts: outage,
		heal: func(s *brokertest.Server) { _ = s.StartApp() }},
	{name: "password", of: itsBroker, gap: outage + jitter, faults: list(brokertest.SetPassword("guest", "another"), brokertest.Reset()), lasts: outage,
		heal: func(s *brokertest.Server) { s.SetPassword("guest", "guest") }},
	{name: "blocked", of: itsBroker, gap: outage, faults: list(brokertest.Block("low on memory")), lasts: outage - time.Second, heal: now(brokertest.Unblock())},
	{name: "cancelled", of: itsOwn, faults: list(brokertest.CancelConsumers())},
	{name: "channel-404", of: itsOwn, faults: list(brokertest.CloseChannel(404, "no such thing"))},
	{name: "channel-406", of: itsOwn, faults: list(brokertest.CloseChannel(406, "not as it was"))},
	{name: "declare-refused-once", of: itsOwn, faults: list(brokertest.CancelConsumers()), arm: func(s *brokertest.Server) {
		s.Inject(brokertest.OnMethod("queue.declare", 1).OnQueue(stageQueue), brokertest.CloseChannel(406, "inequivalent arg"))
	}},
	{name: "consumer-timeout", of: itsOwn, faults: list(brokertest.ConsumerTimeout())},
	{name: "queue-deleted", of: itsOwn, faults: list(brokertest.DeleteQueue(stageQueue))},
	{name: "queue-silent", of: itsOwn, faults: list(brokertest.SuspendQueue(stageQueue)), lasts: unanswered,
		heal: func(s *brokertest.Server) { s.ResumeQueue(stageQueue) }},
	{name: "fatal-message", of: itsOwn, gap: untilFound, again: true, faults: list(brokertest.EndConnectionsAt(stageQueue, fatal)), then: (*stage).publishFatal, lasts: outage, slow: time.Minute,
		heal: func(s *brokertest.Server) { s.EndConnectionsAt(stageQueue, "no message") }},
	// 61 s, since every other second a drain timeout is due, and either could come first.
	{name: "lost-frame", of: itsOwn, faults: list(brokertest.Drop()), lasts: 61 * time.Second, heal: func(s *brokertest.Server) {
		if q, _ := s.Queue(stageQueue); q.Unacknowledged > 0 { // for ever: the broker's consumer_timeout ends it
			s.Inject(nowOnWork, brokertest.ConsumerTimeout())
		}
		time.Sleep(5 * time.Second)
		if q, _ := s.Queue(stageQueue); q.Unacknowledged > 0 && len(s.Connections()) > 1 {
			s.Inject(brokertest.Now(), brokertest.Reset()) // a channel that was never closed: only the connection's end helps
		}
	}},
}

func list(faults ...brokertest.Fault) []brokertest.Fault { return faults }

func now(f brokertest.Fault) func(*brokertest.Server) {
	return func(s *brokertest.Server) { s.Inject(brokertest.Now(), f) }
}

// matrixPlace is where a fault is played: a state, and a moment in it.
type matrixPlace struct {
	name string
	// reach brings the consumer to just before the moment.
	reach func(*stage)
	when  brokertest.Moment
	// then makes the moment come, once the fault waits for it.
	then func(*stage)
	// shared is a place at which nobody can tell whom a fault is about: what is under way there is for all, or a
	// channel is opened for one of them.
	shared bool
}

// steps of connecting, in order: what the client sends, or is answered.
var steps = []struct {
	name string
	when brokertest.Moment
	// onChannel is the moment when only the channel is revived; zero if the step is of the connection.
	onChannel brokertest.Moment
}{
	{"dial", brokertest.OnConnect(1), brokertest.Now()},
	{"start", brokertest.OnMethod("connection.start-ok", 1), brokertest.Now()},
	{"tune", brokertest.OnMethod("connection.tune-ok", 1), brokertest.Now()},
	{"open", brokertest.OnMethod("connection.open", 1), brokertest.Now()},
	{"control", brokertest.OnMethod("channel.open", 1), brokertest.Now()},
	{"close", brokertest.Now(), onWork("channel.close", 1)},
	{"channel", brokertest.OnMethod("channel.open", 2), brokertest.OnMethod("channel.open", 1)},
	{"exchange", brokertest.OnMethod("exchange.declare", 1), brokertest.OnMethod("exchange.declare", 1)},
	{"queue", onWork("queue.declare", 1), onWork("queue.declare", 1)},
	{"bind", onWork("queue.bind", 1), onWork("queue.bind", 1)},
	{"qos", onWork("basic.qos", 1), onWork("basic.qos", 1)},
	{"consume", onWork("basic.consume", 1), onWork("basic.consume", 1)},
	{"confirm", onWork("basic.consume-ok", 1), onWork("basic.consume-ok", 1)},
}

// onWork is a moment of the stage's queue, and none of its neighbour's.
func onWork(method string, nth int) brokertest.Moment {
	return brokertest.OnMethod(method, nth).OnQueue(stageQueue)
}

var nowOnWork = brokertest.Now().OnQueue(stageQueue)

var matrixPlaces = places()

func places() []matrixPlace {
	idle := func(s *stage) { s.start(); s.settled(consumer.Consuming) }
	busy := func(s *stage) { idle(s); s.publishLong() }
	lose := func(f brokertest.Fault) func(*stage) { // with deliveries in flight
		return func(s *stage) { s.publish(); s.sleep(10 * time.Millisecond); s.server.Inject(nowOnWork, f) }
	}
	shared := func(step string) bool {
		return slices.Contains([]string{"start", "tune", "open", "control", "channel"}, step)
	}
	places := []matrixPlace{{name: "disconnected/before-run", when: brokertest.Now(), then: (*stage).start}}
	for _, step := range steps {
		if step.when != brokertest.Now() {
			places = append(places, matrixPlace{name: "connecting/" + step.name, when: step.when, then: (*stage).start, shared: shared(step.name)})
		}
	}
	places = append(places,
		matrixPlace{name: "consuming/idle", reach: idle, when: nowOnWork},
		matrixPlace{name: "consuming/deliver", reach: idle, when: onWork("basic.deliver", 3), then: (*stage).publish},
		matrixPlace{name: "consuming/ack", reach: idle, when: onWork("basic.ack", 3), then: (*stage).publish},
		matrixPlace{name: "consuming/busy", reach: busy, when: nowOnWork},
		matrixPlace{name: "check/busy", reach: busy, when: brokertest.OnMethod("basic.qos", 1)},
		matrixPlace{name: "check/probe", reach: idle, when: brokertest.OnMethod("basic.qos", 1)},
		matrixPlace{name: "check/answer", reach: idle, when: brokertest.OnMethod("basic.qos-ok", 1)},
	)
	for _, step := range steps {
		if step.when != brokertest.Now() {
			places = append(places, matrixPlace{
				name: "reviving/" + step.name, reach: idle, when: step.when, then: lose(brokertest.Reset()), shared: shared(step.name),
			})
		}
	}
	for _, step := range steps {
		if step.onChannel != brokertest.Now() {
			places = append(places, matrixPlace{
				name: "reviving-channel/" + step.name, reach: idle, when: step.onChannel, then: lose(brokertest.CancelConsumers()),
			})
		}
	}
	stop := func(s *stage) { s.publish(); s.sleep(30 * time.Millisecond); s.stop() } // handlers are at work
	return append(places,
		matrixPlace{name: "stopping/cancel", reach: idle, when: onWork("basic.cancel", 1), then: stop},
		matrixPlace{name: "stopping/ack", reach: func(s *stage) { idle(s); stop(s) }, when: onWork("basic.ack", 1)},
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

// once has what a connection that dies and comes back does again and again only once, whether or not it died while it
// was being revived.
func once(names []string) (short []string) {
	lost, revived := string(consumer.ConnectionError), string(consumer.Revived)
	names = slices.DeleteFunc(names, func(name string) bool { return name == string(consumer.ReviveFailed) })
	for len(names) > 0 {
		short, names = append(short, names[0]), names[1:]
		n := len(short)
		if n < 2 || short[n-2] != lost || short[n-1] != revived {
			continue
		}
		for len(names) > 1 && names[0] == lost && names[1] == revived {
			names = names[2:]
		}
	}
	return short
}
