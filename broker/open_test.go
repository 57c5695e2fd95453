package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

func TestOpenNoticesAPeerThatFreezesAfterTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		server.Inject(brokertest.OnMethod("channel.open", 1), brokertest.Freeze(brokertest.ToClient))
		var err error
		if d := took(func() { _, err = Open(t.Context(), plan, 1, 0) }); d != patience {
			t.Errorf("noticed after %v, want %v", d, patience)
		}
		wantError(t, err, Heartbeat, ScopeConnection)
	})
}

// Each byte is a sign of life, and this answer has 16 of them.
func TestOpenWaitsForASlowPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		server.Inject(brokertest.OnMethod("channel.open", 1), brokertest.Drip(time.Second/2))
		if d := took(func() { begin(t, plan) }); d != 2*patience {
			t.Errorf("took %v", d)
		}
	})
}

func TestOpenBoundsAnAnswerThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		plan.Heartbeat = time.Second // so the broker is alive all the time
		server.Inject(brokertest.OnMethod("channel.open", 1), brokertest.Drop())
		var err error
		if d := took(func() { _, err = Open(t.Context(), plan, 1, 0) }); d != defaultCallTimeout {
			t.Errorf("gave up after %v", d)
		}
		wantError(t, err, Heartbeat, ScopeConnection)
		if !errors.Is(err, errCallTimeout) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOpenEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		server.Inject(brokertest.OnMethod("channel.open", 1), brokertest.Drop())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var err error
		if d := took(func() { _, err = Open(ctx, plan, 1, 0) }); d != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended after %v with %v", d, err)
		}
		synctest.Wait()
		if n := len(server.Connections()); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func TestOpenChecksThePlan(t *testing.T) {
	if _, err := Open(t.Context(), Plan{}, 1, 0); err == nil {
		t.Error("opened an empty plan")
	}
}
