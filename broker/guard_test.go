package broker

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/everhop/everhop/broker/brokertest"
)

// call asks something of the broker: by which method, and with which Op if it fails.
type call struct {
	method, op string
	on         func(t *testing.T, s *Session, of **Consumer) (ask func(context.Context) error)
}

// steps are the calls of Consume, in order.
var steps = []call{
	{"channel.open", "open channel", consuming},
	{"basic.qos", "qos", consuming},
	{"exchange.declare", "declare exchange x", consuming},
	{"queue.declare", "declare queue", consuming},
	{"queue.bind", "bind to exchange x", consuming},
	{"basic.consume", "consume", consuming},
}

func consuming(_ *testing.T, s *Session, _ **Consumer) func(context.Context) error {
	return func(ctx context.Context) error { _, err := s.Consume(ctx, 0, Intake{}); return err }
}

func resuming(t *testing.T, s *Session, of **Consumer) func(context.Context) error {
	c := prepare(t, s, Intake{Paused: true})
	*of = c
	return func(ctx context.Context) error { return c.Resume(ctx, Intake{}) }
}

var ofAConsumer = []call{
	{"basic.qos", "qos", resuming},
	{"basic.consume", "consume", resuming},
	{"basic.cancel", "cancel", func(t *testing.T, s *Session, of **Consumer) func(context.Context) error {
		*of = subscribe(t, s, 0)
		return (*of).Cancel
	}},
	{"channel.close", "close channel", func(t *testing.T, s *Session, of **Consumer) func(context.Context) error {
		*of = subscribe(t, s, 0)
		return (*of).Close
	}},
}

// topology is what every method of consuming is needed for.
var topology = Subscription{
	Queue: "q", Declare: &QueueOptions{}, Prefetch: 1,
	Exchanges: []Exchange{{Name: "x", Kind: "topic"}}, Bindings: []Binding{{Exchange: "x", RoutingKey: "#"}},
}

// Nothing hangs: whatever is asked when the broker falls silent, it ends in time and says why.
func TestEveryCallEnds(t *testing.T) {
	faults := []struct {
		fault brokertest.Fault
		want  Class
		slow  bool // noticed after patience; else at once
	}{
		{brokertest.Freeze(brokertest.Both), Heartbeat, true},
		{brokertest.Freeze(brokertest.ToClient), Heartbeat, true},
		{brokertest.HangUp(), Network, false},
		{brokertest.Reset(), Network, false},
		{brokertest.CloseConnection(320, ""), BrokerShutdown, false},
	}
	for _, call := range slices.Concat(steps, ofAConsumer) {
		for _, fault := range faults {
			t.Run(call.method+"/"+fault.fault.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server, plan := serve(t, topology)
					s := begin(t, plan)
					ask := call.on(t, s, new(*Consumer))
					server.Inject(brokertest.OnMethod(call.method, 1), fault.fault)
					var err error
					if d := took(func() { err = ask(t.Context()) }); fault.slow && d != patience || !fault.slow && d != 0 {
						t.Errorf("took %v", d)
					}
					wantError(t, err, fault.want, ScopeConnection)
					var e *Error
					if errors.As(err, &e) && (e.Op != call.op || e.Endpoint != server.Addr()) {
						t.Errorf("op %q at %q, want %q", e.Op, e.Endpoint, call.op)
					}
				})
			})
		}
	}
}

// A call that is refused costs its channel and nothing else, and is no loss: the caller knows.
func TestARefusedCallCostsItsChannel(t *testing.T) {
	for _, step := range steps {
		t.Run(step.method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t, topology)
				s := begin(t, plan)
				server.Inject(brokertest.OnMethod(step.method, 1), brokertest.CloseChannel(406, "as told"))
				_, err := s.Consume(t.Context(), 0, Intake{})
				wantError(t, err, Precondition, ScopeChannel)
				var e *Error
				if errors.As(err, &e) && (e.Op != step.op || e.Queue != "q" || e.Code != 406 || e.Reason() != "406 PRECONDITION_FAILED - as told") {
					t.Errorf("got %+v", e)
				}
				synctest.Wait()
				if c := server.Connections(); len(c) != 1 || c[0].Channels != 1 {
					t.Errorf("left behind: %+v, want the control channel", c)
				}
				wantNoMoreLosses(t, s)
				subscribe(t, s, 0)
			})
		})
	}
}
