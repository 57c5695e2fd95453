package consumer_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// A journal in files is synced when consuming is lost and in the end, and what it holds obeys the table.
func TestJournalInFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files, err := fsm.OpenJournal(dir, fsm.JournalOptions{Sync: fsm.SyncNever})
	if err != nil {
		t.Fatal(err)
	}
	journal := &countedSyncs{FileJournal: files}
	server := brokertest.NewServer(t)
	if err := server.DeclareQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	c, err := consumer.New(consumer.Config{
		URLs:    []string{server.URL()},
		Journal: journal,
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
	if n := journal.syncs.Load(); n != 0 {
		t.Errorf("%d syncs before anything was lost", n)
	}
	server.Inject(brokertest.Now, brokertest.Reset())
	await("a sync after the loss", func() bool { return journal.syncs.Load() == 1 })
	await("consuming again", func() bool { return c.State() == consumer.Consuming })
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if n := journal.syncs.Load(); n != 2 {
		t.Errorf("%d syncs in the end, want 2", n)
	}
	if err := files.Close(); err != nil {
		t.Error(err)
	}
	var damage error
	state, err := fsm.Replay(consumer.Lifecycle(), fsm.Until(fsm.Read(dir), &damage))
	if err != nil || damage != nil || state != consumer.Disconnected {
		t.Errorf("replayed: %s, %v, %v", state, err, damage)
	}
}

type countedSyncs struct {
	*fsm.FileJournal
	syncs atomic.Int64
}

func (j *countedSyncs) Sync() error {
	j.syncs.Add(1)
	return j.FileJournal.Sync()
}
