package publish_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

func TestPublish(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q")
		for i := range 10 {
			r.must(r.within(time.Second, to("q", fmt.Sprint(i))))
		}
		r.wantOrder("q", 10)
		r.wantErr(r.within(time.Second, to("nowhere", "x")), broker.ErrUnroutable)
		if got := r.p.Stats(); got.Confirmed != 10 || got.Unroutable != 1 || got.Unconfirmed != 0 {
			t.Errorf("%+v", got)
		}
		r.must(r.p.Stop(context.Background()))
		r.must(<-r.ended)
		if got := r.triggers(); !slices.Equal(got, []fsm.Trigger{publish.Connect, publish.Connected, publish.Stop}) {
			t.Errorf("%v", got)
		}
		r.wantErr(r.within(time.Second, to("q", "late")), publish.ErrStopped)
	})
}

// What is not confirmed when a connection is lost is sent again, in order.
func TestPublishThroughCuts(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q", "p")
		const n = 10_000
		for i := range n {
			if i%200 == 199 {
				r.server.Inject(brokertest.Now(), brokertest.Reset())
			}
			r.send(to([]string{"q", "p"}[i%2], fmt.Sprint(i/2)))
		}
		r.flush(time.Minute)
		twice := r.wantOrder("q", n/2) + r.wantOrder("p", n/2)
		stats := r.p.Stats()
		t.Logf("%d of %d are there twice; %+v", twice, n, stats)
		if stats.Confirmed != n || uint64(twice) > stats.Resent {
			t.Errorf("%d twice, %+v", twice, stats)
		}
	})
}

// A message that the broker does not like has an error of its own; those around it are stored in order.
func TestPublishBesideBadMessages(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q")
		var good, bad []*publish.Confirmation
		for i := range 1000 {
			if i%50 == 25 {
				bad = append(bad, r.send(&broker.Message{Exchange: "missing", RoutingKey: fmt.Sprint(i), Body: []byte("bad")}))
			}
			good = append(good, r.send(to("q", fmt.Sprint(i))))
		}
		r.flush(time.Minute)
		for _, c := range good {
			r.must(c.Err())
		}
		for _, c := range bad {
			var refused *broker.Error
			if !errors.As(c.Err(), &refused) || refused.Code != 404 {
				t.Errorf("a message to no exchange: %v", c.Err())
			}
		}
		twice := r.wantOrder("q", 1000)
		t.Logf("%d twice, %+v, %v", twice, r.p.Stats(), r.triggers())
		if notes := r.notes(); len(notes) != 1 {
			t.Errorf("%d notes: %v", len(notes), notes)
		}
	})
}
