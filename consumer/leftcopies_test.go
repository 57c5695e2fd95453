package consumer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// A copy stands only for a message that is the same in all that is published, as long as its confirm has not come.
func TestLeftCopies(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		declareIn(t, server, "parked", nil)
		server.WithholdConfirms("parked")
		park := func(edit func(*Delivery)) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			d := delivered("x")
			d.MessageID, d.Redelivered = "", true
			d.Headers = map[string]any{"id": int64(1), "x-delivery-count": int64(server.Count("basic.publish"))}
			edit(d)
			if err := r.park(ctx, d, "parked", itFailed); err == nil {
				t.Error("it was confirmed")
			}
		}
		same := func(*Delivery) {}
		stored := func(want int) {
			t.Helper()
			synctest.Wait()
			if n := len(server.Messages("parked")); n != want {
				t.Errorf("%d copies, want %d", n, want)
			}
		}
		park(same)
		park(same)
		stored(1)
		park(func(d *Delivery) { d.Headers["id"] = int64(2) })
		stored(2)
		park(func(d *Delivery) { d.Type = "deleted" })
		stored(3)
		park(func(d *Delivery) { d.Redelivered = false })
		stored(4)
		server.ReleaseConfirms("parked")
		time.Sleep(time.Second)
		server.WithholdConfirms("parked")
		park(same)
		stored(5)
		if n := r.left.size; n != 1 {
			r.left.forget()
			if n = r.left.size; n != 1 {
				t.Errorf("%d are remembered", n)
			}
		}
	})
}

// The consumer's publisher does not give up: what it is for is needed as long as the consumer lives.
func TestRepublishAfterRefusedLogins(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		server.SetPassword("guest", "another")
		time.AfterFunc(time.Hour, func() { server.SetPassword("guest", "guest") })
		if err := r.park(t.Context(), delivered("x"), "parked", itFailed); err != nil {
			t.Error(err)
		}
		wantBodies(t, server, "parked", "x")
	})
}
