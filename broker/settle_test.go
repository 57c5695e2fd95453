package broker

import (
	"testing"
	"testing/synctest"
)

func TestHowDeliveriesAreSettled(t *testing.T) {
	type settlement struct {
		Method            string
		Multiple, Requeue bool
	}
	tests := []struct {
		name   string
		settle func(*Consumer) error
		want   settlement
		gone   int // of three
	}{
		{"Ack", func(c *Consumer) error { return c.Ack(2) }, settlement{"basic.ack", false, false}, 1},
		{"AckUpTo", func(c *Consumer) error { return c.AckUpTo(2) }, settlement{"basic.ack", true, false}, 2},
		{"AckUpTo 0", func(c *Consumer) error { return c.AckUpTo(0) }, settlement{"basic.ack", true, false}, 3},
		{"Reject", func(c *Consumer) error { return c.Reject(2, false) }, settlement{"basic.reject", false, false}, 1},
		{"requeue", func(c *Consumer) error { return c.Reject(2, true) }, settlement{"basic.reject", false, true}, 0},
		{"Nack", func(c *Consumer) error { return c.Nack(2) }, settlement{"basic.nack", false, true}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t, topology)
				s := begin(t, plan)
				c := prepare(t, s, Intake{Prefetch: 3})
				publishTo(t, server, "q", "1", "2", "3")
				wantBodies(t, c, "1", "2", "3")
				cancel(t, c)
				if err := test.settle(c); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				settled := server.Settlements()
				if len(settled) == 0 {
					t.Fatal("nothing was settled")
				}
				if got := (settlement{settled[0].Method, settled[0].Multiple, settled[0].Requeue}); got != test.want {
					t.Errorf("got %+v, want %+v", got, test.want)
				}
				if q, _ := server.Queue("q"); q.Ready+q.Unacknowledged != 3-test.gone {
					t.Errorf("the queue: %+v", q)
				}
				wantNoMoreLosses(t, s)
			})
		})
	}
}

func TestSettlingAllocatesNothing(t *testing.T) {
	c := &Consumer{} // what is left is what it costs beyond amqp091-go
	c.closed.Store(true)
	for name, settle := range map[string]func(){
		"Ack":     func() { _ = c.Ack(1) },
		"AckUpTo": func() { _ = c.AckUpTo(1) },
		"Reject":  func() { _ = c.Reject(1, true) },
		"Nack":    func() { _ = c.Nack(1) },
	} {
		if n := testing.AllocsPerRun(100, settle); n != 0 {
			t.Errorf("%s costs %v allocations", name, n)
		}
	}
}
