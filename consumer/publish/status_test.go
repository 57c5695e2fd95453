package publish_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

func TestStatus(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		want := func(state fsm.State, what string, ok func(publish.Status) bool) publish.Status {
			r.Helper()
			synctest.Wait()
			if s := r.p.Status(); s.State != state || !ok(s) {
				r.Errorf("%s: %+v", what, s)
			}
			return r.p.Status()
		}
		r.declare("q")
		r.must(r.within(time.Second, to("q", "0")))
		time.Sleep(time.Second)
		up := want(publish.Publishing, "all is well", func(s publish.Status) bool {
			return s.Endpoint != "" && s.Generation == 1 && s.Silence == time.Second && s.OldestUnconfirmed.IsZero() && s.Error == "" &&
				s.Since.Before(s.Time) && s.Stats.Confirmed == 1 && s.Attempt == 0
		})

		r.server.Alarm("low on disk")
		given := time.Now()
		r.send(to("q", "1"))
		time.Sleep(time.Minute)
		for range 2 {
			r.send(to("q", "1"))
		}
		want(publish.Blocked, "blocked", func(s publish.Status) bool {
			return s.BlockedReason == "low on disk" && s.OldestUnconfirmed.Equal(given) && s.Since.After(up.Since)
		})
		r.server.ClearAlarm()
		time.Sleep(time.Second)
		want(publish.Publishing, "not blocked any more", func(s publish.Status) bool {
			return s.BlockedReason == "" && s.OldestUnconfirmed.IsZero() && s.Stats.Confirmed == 4
		})

		r.server.RefuseConnections()
		r.server.Inject(brokertest.Now(), brokertest.Reset())
		lost := time.Now()
		synctest.Wait()
		given = time.Now()
		r.send(to("q", "2"))
		time.Sleep(time.Hour)
		s := want(publish.Reviving, "the broker is away", func(s publish.Status) bool {
			return s.Endpoint == "" && s.Attempt > 50 && s.Since.Equal(lost) && s.OldestUnconfirmed.Equal(given) && s.Silence == 0 &&
				strings.Contains(s.Error, "refused") && s.Class == string(broker.Network) && s.NextAttempt.After(s.Time)
		})
		r.must(r.server.AcceptConnections())
		time.Sleep(time.Until(s.NextAttempt) + time.Second)
		want(publish.Publishing, "it is back", func(s publish.Status) bool {
			return s.Error == "" && s.Attempt == 0 && s.NextAttempt.IsZero() && s.OldestUnconfirmed.IsZero() && s.Since.After(lost)
		})
		r.must(r.p.Stop(r.Context()))
		want(publish.Disconnected, "stopped", func(s publish.Status) bool { return s.Endpoint == "" && s.Silence == 0 })
	})
}
