package broker_test

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

var (
	classic = amqp.Table{"x-queue-type": "classic"}
	quorum  = amqp.Table{"x-queue-type": "quorum"}
	limited = amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 10}
)

// Where a message goes that nobody began to handle differs by queue, and so does what order decides.
func TestOrderAfterAPause(t *testing.T) {
	unlimited := []int{4, 5, 6, 1, 2, 3}
	if rabbittest.Shared(t).Has(rabbittest.DefaultLimit) { // then none is
		unlimited = []int{1, 2, 3, 4, 5, 6}
	}
	tests := []struct {
		name      string
		arguments amqp.Table
		nacked    []uint64
		order     []int
	}{
		{"classic", classic, []uint64{1, 2, 3}, []int{1, 2, 3, 4, 5, 6}},
		{"classic, the last first", classic, []uint64{3, 2, 1}, []int{1, 2, 3, 4, 5, 6}},
		{"limited", limited, []uint64{1, 2, 3}, []int{1, 2, 3, 4, 5, 6}},
		{"limited, the last first", limited, []uint64{3, 2, 1}, []int{3, 2, 1, 4, 5, 6}},
		{"quorum", quorum, []uint64{1, 2, 3}, unlimited},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, planFor(t, rabbittest.Shared(t).URL(), keep(t, test.arguments)))
			c := start(t, s, broker.Intake{})
			number(t, 1, 6)
			wantNumbers(t, c, 1, 2, 3)
			pause(t, c)
			for _, tag := range test.nacked {
				if err := c.Nack(tag); err != nil {
					t.Fatal(err)
				}
			}
			resume(t, c, broker.Intake{Prefetch: 6})
			wantNumbers(t, c, test.order...)
			wantNoLoss(t, s)
		})
	}
}

// With one consumer tag for both, a quorum queue delivers nothing, or RabbitMQ 3.10 closes the
// connection with 541.
func TestResumeWhileDeliveriesAreOutstanding(t *testing.T) {
	for name, arguments := range map[string]amqp.Table{"classic": classic, "quorum": quorum, "limited": limited} {
		t.Run(name, func(t *testing.T) {
			s := open(t, planFor(t, rabbittest.Shared(t).URL(), keep(t, arguments)))
			c := start(t, s, broker.Intake{})
			number(t, 1, 9)
			held := wantNumbers(t, c, 1, 2, 3)
			pause(t, c)
			resume(t, c, broker.Intake{Prefetch: 2})
			wantNumbers(t, c, 4, 5) // the held do not count
			pause(t, c)
			resume(t, c, broker.Intake{})
			last := wantNumbers(t, c, 6, 7, 8)
			if err := c.AckUpTo(held); err != nil {
				t.Fatal(err)
			}
			if err := c.AckUpTo(last); err != nil {
				t.Fatal(err)
			}
			if err := c.Ack(wantNumbers(t, c, 9)); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(within(t)); err != nil {
				t.Fatal(err)
			}
			wantReady(t, 0)
			wantNoLoss(t, s)
		})
	}
}

// wantReady waits until the test's queue holds so many that nobody has.
func wantReady(t *testing.T, ready int) {
	t.Helper()
	channel := raw(t)
	rabbittest.Eventually(t, moment, "the queue holds what it should", func() bool {
		q, err := channel.QueueDeclarePassive(t.Name(), true, false, false, false, nil)
		return err == nil && q.Messages == ready
	})
}

// RabbitMQ looks for the delivery before it acknowledges any.
func TestAckUpToWhatIsNotOutstanding(t *testing.T) {
	tests := []struct {
		name  string
		acked uint64 // singly, before; 0 for none
		upTo  uint64
		ready int // afterwards, of three
	}{
		{"settled, others below", 3, 3, 2},
		{"settled, others below and above", 2, 2, 2},
		{"settled, others above", 1, 1, 2},
		{"never delivered", 0, 99, 3},
	}
	for kind, arguments := range map[string]amqp.Table{"classic": classic, "quorum": quorum} {
		for _, test := range tests {
			t.Run(kind+", "+test.name, func(t *testing.T) {
				s := open(t, planFor(t, rabbittest.Shared(t).URL(), keep(t, arguments)))
				c := start(t, s, broker.Intake{})
				number(t, 1, 3)
				wantNumbers(t, c, 1, 2, 3)
				if test.acked != 0 {
					if err := c.Ack(test.acked); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.AckUpTo(test.upTo); err != nil {
					t.Fatal(err)
				}
				l := lossOf(t, s)
				want(t, l.Err, broker.Precondition, 406, broker.ScopeChannel)
				wantReady(t, test.ready)
			})
		}
	}
}

func TestAckUpToOverWhatIsSettled(t *testing.T) {
	s := open(t, planFor(t, rabbittest.Shared(t).URL(), keep(t, classic)))
	c := start(t, s, broker.Intake{})
	number(t, 1, 3)
	wantNumbers(t, c, 1, 2, 3)
	for _, settle := range []error{c.Ack(2), c.AckUpTo(3), c.AckUpTo(0)} { // 0 is all, though there are none
		if settle != nil {
			t.Fatal(settle)
		}
	}
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	wantReady(t, 0)
	wantNoLoss(t, s)
}

// An auto-delete queue ends with its last consumer, and a pause is such an end.
func TestResumeOfAnAutoDeleteQueue(t *testing.T) {
	s := open(t, planFor(t, rabbittest.Shared(t).URL(), queue(t)))
	c := consume(t, s, 0)
	pause(t, c)
	want(t, c.Resume(within(t), broker.Intake{}), broker.NotFound, 404, broker.ScopeChannel)
	if l := lossOf(t, s); l.Consumer != c {
		t.Errorf("got %+v", l)
	}
	consume(t, s, 0) // declares it again
	wantNoLoss(t, s)
}
