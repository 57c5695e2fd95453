package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// A journal in files is synced when consuming is lost and in the end, and what it holds obeys the table.
func TestJournalInFiles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		files, err := journal.Open(dir, journal.Options{Sync: journal.SyncNever})
		if err != nil {
			t.Fatal(err)
		}
		counted := &countedSyncs{Journal: files}
		server := brokertest.NewInMemoryServer(t)
		if err := server.DeclareQueue("q", nil); err != nil {
			t.Fatal(err)
		}
		c, err := consumer.New(consumer.Config{
			URLs:    []string{server.URL()},
			Dial:    server.Dial,
			Journal: counted,
			Subscriptions: []consumer.Subscription{{
				Queue: "q", Handler: func(context.Context, *consumer.Delivery) error { return nil },
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error)
		go func() { ran <- c.Run(context.WithoutCancel(t.Context())) }()
		await := func(what string, holds func() bool) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for !holds() {
				select {
				case <-ctx.Done():
					t.Fatal("not within a minute: ", what)
				case <-time.After(time.Millisecond):
				}
			}
		}
		await("consuming", func() bool { return c.State() == consumer.Consuming })
		if n := counted.syncs.Load(); n != 0 {
			t.Errorf("%d syncs before anything was lost", n)
		}
		server.Inject(brokertest.Now(), brokertest.Reset())
		await("a sync after the loss", func() bool { return counted.syncs.Load() == 1 })
		await("consuming again", func() bool { return c.State() == consumer.Consuming })
		if err := c.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-ran; err != nil {
			t.Error(err)
		}
		await("a sync in the end", func() bool { return counted.syncs.Load() == 2 })
		if err := files.Close(); err != nil {
			t.Error(err)
		}
		var damage error
		state, err := fsm.Replay(consumer.Lifecycle(), journal.Until(journal.Read(dir), &damage))
		if err != nil || damage != nil || state != consumer.Disconnected {
			t.Errorf("replayed: %s, %v, %v", state, err, damage)
		}
	})
}

type countedSyncs struct {
	*journal.Journal
	syncs atomic.Int64
}

func (j *countedSyncs) Sync() error {
	j.syncs.Add(1)
	return j.Journal.Sync()
}

// What cannot be synced is logged, with the event that made it worth while: the loss and the end of a
// consumer, but not the failed attempts between.
func TestJournalSyncFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		journal := unsyncable{fsm.NewRing(100)}
		log := make(lineByLine, 100)
		c, err := consumer.New(consumer.Config{
			URLs: []string{"amqp://127.0.0.1:1"},
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, syscall.ECONNREFUSED
			},
			Journal:       journal,
			ReviveBackoff: consumer.Backoff{Initial: time.Millisecond, Max: time.Millisecond},
			Logger:        zerolog.New(log).Level(zerolog.ErrorLevel),
			Observers: []func(fsm.Event){func(e fsm.Event) {
				if consumer.EvidenceOf(e).Attempt == 3 {
					stop()
				}
			}},
			Subscriptions: []consumer.Subscription{{
				Queue: "q", Handler: func(context.Context, *consumer.Delivery) error { return nil },
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
		for _, e := range journal.Events() {
			if e.Kind != fsm.KindTransition || e.From == e.To || e.To == consumer.Connecting {
				continue
			}
			want := fmt.Sprintf(`{"level":"error","error":"the disk is gone","seq":%d,"message":"the journal could not be synced"}`, e.Seq)
			select {
			case got := <-log:
				if got != want+"\n" {
					t.Errorf("%s: logged %s, want %s", e.Trigger, got, want)
				}
			case <-time.After(time.Minute):
				t.Errorf("%s: not logged: %s", e.Trigger, want)
			}
		}
		select {
		case more := <-log:
			t.Error("too much: ", more)
		default:
		}
	})
}

type unsyncable struct{ *fsm.Ring }

func (unsyncable) Sync() error { return errors.New("the disk is gone") }

// lineByLine is a writer of lines.
type lineByLine chan string

func (l lineByLine) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}
