package history_test

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// recording is a publisher whose journal and log are kept, and what the test knows of its time.
type recording struct {
	*testing.T
	server   *brokertest.Server
	p        *publish.Publisher
	ups      chan time.Time // when Publishing is entered
	up, down time.Duration
	dir      string
	log      bytes.Buffer
}

// record plays in synthetic time.
func record(t *testing.T, play func(*recording)) *recording {
	r := &recording{dir: filepath.Join(t.TempDir(), "journal")}
	synctest.Test(t, func(t *testing.T) {
		r.T, r.ups, r.server = t, make(chan time.Time, 100), brokertest.NewInMemoryServer(t)
		files, err := journal.Open(r.dir, journal.Options{SegmentBytes: 4000, Sync: journal.SyncNever, Strict: true})
		if err != nil {
			t.Fatal(err)
		}
		r.p, err = publish.New(publish.Config{
			URLs: []string{r.server.URL()}, Dial: r.server.Dial, Name: "sent", Journal: files,
			Observers: []func(fsm.Event){func(e fsm.Event) {
				if e.To == publish.Publishing && e.From != publish.Publishing {
					r.ups <- e.Time
				}
			}},
			Logger: zerolog.New(zerolog.SyncWriter(&r.log)).With().Timestamp().Str("service", "shop").Logger(),
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- r.p.Run(context.Background()) }()
		<-r.ups
		play(r)
		if err := r.p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := files.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// publishes is up for so long.
func (r *recording) publishes(d time.Duration) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.p.Publish(ctx, &broker.Message{RoutingKey: "q", Body: []byte("x")}); err != nil {
		r.Fatal(err)
	}
	time.Sleep(d)
	r.up += d
}

// is expects a state.
func (r *recording) is(state fsm.State) {
	r.Helper()
	synctest.Wait()
	if got := r.p.State(); got != state {
		r.Errorf("it is %s, and not %s", got, state)
	}
}

// fails is down from a fault on until it is up again.
func (r *recording) fails(fault func()) {
	r.Helper()
	began := time.Now()
	fault()
	select {
	case up := <-r.ups:
		r.down += up.Sub(began)
	case <-time.After(time.Minute):
		r.Errorf("it is still %s", r.p.State())
	}
}

func TestRecordedPublisher(t *testing.T) {
	r := record(t, func(r *recording) {
		s := r.server
		if err := s.DeclareQueue("q", nil); err != nil {
			r.Fatal(err)
		}
		r.publishes(10 * time.Second)
		r.fails(func() { s.Inject(brokertest.Now(), brokertest.Reset()) })
		r.publishes(20 * time.Second)
		r.fails(func() {
			s.Alarm("low on memory")
			if _, err := r.p.Send(context.Background(), &broker.Message{RoutingKey: "q"}); err != nil { // only who publishes is told
				r.Error(err)
			}
			r.is(publish.Blocked)
			time.Sleep(time.Minute)
			s.ClearAlarm()
		})
		r.publishes(30 * time.Second)
		r.fails(func() {
			s.RefuseConnections()
			s.Inject(brokertest.Now(), brokertest.Reset())
			r.is(publish.Reviving)
			time.Sleep(25 * time.Second)
			if err := s.AcceptConnections(); err != nil {
				r.Error(err)
			}
		})
		r.publishes(40 * time.Second)
		r.fails(func() { // the channel is closed, and the message is told of
			if err := r.p.Publish(context.Background(), &broker.Message{Exchange: "missing", RoutingKey: "key"}); err == nil {
				r.Error("there is an exchange missing")
			}
		})
		r.publishes(0) // the last sign of life
		r.fails(func() { s.Inject(brokertest.Now(), brokertest.Freeze(brokertest.Both)) })
		r.publishes(50 * time.Second)
	})

	log := readAll(t, r.dir)
	report := summarize(log)
	near := func(what string, got, want time.Duration) {
		if diff := (got - want).Abs(); diff > 50*time.Millisecond {
			t.Errorf("%s %v, want %v", what, got, want)
		}
	}
	near("up", report.Up, r.up)
	near("down", report.Down, r.down)
	if report.Outages != 5 || report.Recoveries != 5 || report.Revivals["network"] != 2 || report.Revivals["not_found"] != 1 || report.Revivals["heartbeat"] != 1 || report.Revivals["ConnectionBlocked"] != 1 {
		t.Errorf("%d outages, %v", report.Outages, report.Revivals)
	}
	if got := report.InState[publish.Blocked]; got != time.Minute {
		t.Errorf("blocked for %v", got)
	}
	if got := report.Longest; got.Duration != time.Minute || got.Cause.Trigger != publish.ConnectionBlocked || got.Ending != publish.ConnectionUnblocked {
		t.Errorf("the longest: %+v", got)
	}
	if _, err := fsm.Replay(publish.Lifecycle(), func(yield func(fsm.Event) bool) {
		for _, e := range log {
			if !yield(e) {
				return
			}
		}
	}); err != nil {
		t.Error(err)
	}
	if err := agree(log); err != nil {
		t.Error(err)
	}

	var logged []fsm.Event
	for line := range bytes.Lines(r.log.Bytes()) {
		if e, ok := history.ParseLog(line); ok {
			logged = append(logged, e)
		}
	}
	written := make([]fsm.Event, 0, len(log))
	for _, e := range log {
		if e.Kind != fsm.KindSnapshot {
			written = append(written, e)
		}
	}
	if diff := cmp.Diff(written, logged, byValue, cmpopts.IgnoreFields(fsm.Event{}, "Time")); diff != "" || len(logged) < 15 {
		t.Errorf("%d are logged\n%s", len(logged), diff)
	}
	if !slices.ContainsFunc(logged, func(e fsm.Event) bool {
		said := publish.EvidenceOf(e)
		return e.Name == publish.NoteRefused && said.Exchange == "missing" && said.RoutingKey == "key" && said.Code == 404
	}) {
		t.Error("it is not told which message was refused")
	}
	if err := agree(logged); err != nil {
		t.Error(err)
	}
}
