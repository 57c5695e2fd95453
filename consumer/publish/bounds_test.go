package publish_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/publish"
)

// A question that the broker does not answer has no message sent again on the same connection, nor others wait: a confirm
// answers it, too.
func TestTrialWithoutAnAnswer(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q")
		if err := r.within(time.Second, &broker.Message{Exchange: "late"}); err == nil {
			t.Fatal("a message to no exchange was confirmed")
		}
		r.must(r.server.DeclareExchange("late", "fanout", nil)) // it is suspected still
		r.must(r.server.Bind("late", "", "q", nil))
		r.server.Inject(brokertest.OnMethod("basic.qos-ok", 1), brokertest.Drop())
		for i := range 3 {
			r.must(r.within(time.Minute, &broker.Message{Exchange: "late", Body: fmt.Append(nil, i)}))
		}
		time.Sleep(time.Hour)
		if twice := r.wantOrder("q", 3); twice > 0 {
			t.Errorf("%d copies more", twice)
		}
		if n := r.server.Count("connection.open"); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// A declaration waits for the end of an alarm, and leaves no channels behind meanwhile.
func TestDeclareUnderAlarm(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q")
		r.server.Alarm("disk")
		r.send(to("q", "0")) // now the broker says so
		declared := make(chan error, 20)
		for i := range cap(declared) {
			go func() {
				declared <- r.p.DeclareQueue(context.Background(), fmt.Sprint("p", i%2), broker.QueueOptions{Durable: true})
			}()
		}
		time.Sleep(time.Hour)
		opened := r.server.Count("channel.open")
		r.server.ClearAlarm()
		for range cap(declared) {
			r.must(<-declared)
		}
		if n := r.server.Count("channel.open") - opened; n > 4 {
			t.Errorf("%d channels", n)
		}
	})
}

// Bytes are bounded whatever the number of targets is.
func TestWindowBytesOfManyTargets(t *testing.T) {
	const most, size = 1 << 20, 64 << 10
	inRig(t, func(c *publish.Config) { c.WindowBytes = most }, func(r *rig) {
		r.declare("q")
		r.must(r.server.DeclareExchange("x", "fanout", nil))
		r.must(r.server.Bind("x", "", "q", nil))
		r.server.WithholdConfirms("q")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		accepted := 0
		for i := range 1000 {
			if _, err := r.p.Send(ctx, &broker.Message{Exchange: "x", RoutingKey: fmt.Sprint("customer", i), Body: make([]byte, size)}); err == nil {
				accepted++
			}
		}
		if accepted*size > 3*most || accepted < 8 {
			t.Errorf("%d messages of %d bytes were accepted", accepted, size)
		}
		r.server.ReleaseConfirms("q")
		r.flush(time.Minute)
	})
}
