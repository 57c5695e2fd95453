package systemd_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/systemd"
	"github.com/everhop/everhop/fsm"
)

// gate is a journal that can be shut: whoever appends waits.
type gate struct {
	*fsm.Ring
	open chan struct{} // holds a token
}

func (g *gate) Append(e fsm.Event) error {
	<-g.open
	defer func() { g.open <- struct{}{} }()
	return g.Ring.Append(e)
}

// The supervisor is what the watchdog is for: it is fed through hours of an outage, and not while a journal hangs.
func TestHang(t *testing.T) {
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "20000000")
	var mu sync.Mutex
	var messages []string
	var reader sync.WaitGroup
	reader.Go(func() { // outside of the bubble: it waits for the network
		for {
			got := m.next(patience)
			mu.Lock()
			messages = append(messages, got)
			mu.Unlock()
			if got == "" || strings.Contains(got, "over") {
				return
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		if err := server.DeclareQueue("orders", nil); err != nil {
			t.Fatal(err)
		}
		journal := &gate{fsm.NewRing(100), make(chan struct{}, 1)}
		journal.open <- struct{}{}
		c, err := consumer.New(consumer.Config{
			URLs: []string{server.URL()}, Dial: server.Dial, Name: "shop", Journal: journal,
			Subscriptions: []consumer.Subscription{{Queue: "orders", Handler: func(context.Context, *consumer.Delivery) error { return nil }}},
		})
		if err != nil {
			t.Fatal(err)
		}
		stop, err := systemd.Start(c)
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		time.Sleep(time.Minute)
		server.StopApp()
		time.Sleep(10 * time.Minute) // each look is a datagram
		mark(t, m, "the journal hangs")
		if err := server.StartApp(); err != nil {
			t.Fatal(err)
		}
		<-journal.open
		time.Sleep(consumer.StuckAfter + 10*time.Second)
		mark(t, m, "it is stuck")
		time.Sleep(10 * time.Minute)
		mark(t, m, "the journal goes on")
		journal.open <- struct{}{}
		time.Sleep(time.Minute)
		mark(t, m, "it stops")
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		stop()
		mark(t, m, "over")
	})
	reader.Wait()
	part := func(from, to string) string {
		i, j := slices.Index(messages, from), slices.Index(messages, to)
		if from == "" {
			i = 0
		}
		if i < 0 || j < i {
			t.Fatalf("no %q before %q", from, to)
		}
		return strings.Join(messages[i:j], "\n")
	}
	fed := func(text string) int { return strings.Count(text, "WATCHDOG=1") }
	if outage := part("", "the journal hangs"); strings.Count(outage, "READY=1") != 1 || fed(outage) < 11*60-5 {
		t.Errorf("in the outage it is ready %d times and fed %d times", strings.Count(outage, "READY=1"), fed(outage))
	}
	if stuck := part("it is stuck", "the journal goes on"); fed(stuck) > 0 || !strings.Contains(stuck, "STATUS=shop: Reviving, not alive: ") {
		t.Errorf("while it is stuck, it is fed %d times, and systemd is told %.300q", fed(stuck), stuck)
	}
	if hangs := part("the journal hangs", "it is stuck"); !strings.Contains(hangs, ", not alive: the supervisor has done nothing for ") {
		t.Errorf("systemd is told %.300q", hangs)
	}
	if again := part("the journal goes on", "it stops"); fed(again) < 50 || !strings.Contains(again, "STATUS=shop: Consuming, ready") {
		t.Errorf("when it goes on, systemd is told %.300q", again)
	}
	if stops := part("it stops", "over"); strings.Count(stops, "STOPPING=1") != 1 {
		t.Errorf("at the end, systemd is told %q", stops)
	}
}

// mark puts a text between the messages.
func mark(t *testing.T, m *manager, text string) {
	t.Helper()
	if err := m.tell(text); err != nil {
		t.Fatal(err)
	}
}
