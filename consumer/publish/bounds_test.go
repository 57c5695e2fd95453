package publish_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/publish"
)

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

// What headers hold counts, too.
func TestWindowBytesOfHeaders(t *testing.T) {
	text := strings.Repeat("x", 10_000)
	for name, value := range map[string]any{
		"text": text, "bytes": []byte(text), "a list": []any{text}, "a table": map[string]any{"text": text},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(c *publish.Config) { c.WindowBytes = 100_000 }, func(r *rig) {
				r.declare("q")
				r.server.WithholdConfirms("q")
				var senders sync.WaitGroup
				for range 20 {
					senders.Go(func() { r.send(&broker.Message{RoutingKey: "q", Headers: map[string]any{"value": value}}) })
				}
				synctest.Wait()
				if s := r.p.Stats(); s.Unconfirmed < 3 || s.Unconfirmed > 5 { // half of it
					t.Errorf("%+v", s)
				}
				r.server.ReleaseConfirms("q")
				senders.Wait()
				r.flush(time.Minute)
			})
		})
	}
}
