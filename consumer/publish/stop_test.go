package publish_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// A soft stop waits for what was accepted, room or not; then it gives up, and says how many messages are left.
func TestStopSoft(t *testing.T) {
	for _, released := range []bool{true, false} {
		t.Run(fmt.Sprint("confirmed meanwhile: ", released), func(t *testing.T) {
			inRig(t, func(c *publish.Config) { c.Window, c.GracePeriod = 4, 10*time.Second }, func(r *rig) {
				r.declare("q")
				r.must(r.within(time.Second, to("q", "0")))
				r.server.WithholdConfirms("q")
				results := make(chan error, 5)
				for i := range 5 {
					go func() { results <- r.p.Publish(context.Background(), to("q", fmt.Sprint(i))) }()
				}
				synctest.Wait()
				stopped := make(chan error, 1)
				began := time.Now()
				go func() { stopped <- r.p.Stop(context.Background()) }()
				synctest.Wait()
				r.wantErr(r.within(time.Second, to("q", "late")), publish.ErrStopped)
				time.Sleep(5 * time.Second)
				if released {
					r.server.ReleaseConfirms("q")
				}
				r.must(<-stopped)
				err := <-r.ended
				took := time.Since(began)
				if released {
					r.must(err)
					for range 5 {
						r.must(<-results)
					}
					if took != 5*time.Second {
						t.Errorf("it took %v", took)
					}
					return
				}
				r.wantErr(err, publish.ErrStopped)
				notSent, notKnown := 0, 0
				for range 5 {
					err := <-results
					r.wantErr(err, publish.ErrStopped)
					switch {
					case errors.Is(err, publish.ErrNotSent):
						notSent++
					case errors.Is(err, publish.ErrNotKnown):
						notKnown++
					}
				}
				if notKnown != 2 || notSent != 3 || took < 10*time.Second || took > 12*time.Second {
					t.Errorf("%d not known, %d not sent, after %v: %v", notKnown, notSent, took, err)
				}
				r.server.ReleaseConfirms("q")
				if s := r.p.Stats(); s.Unconfirmed != 0 || s.Waiting != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// A hard stop waits for nothing, wherever the publisher is.
func TestStopHard(t *testing.T) {
	for name, prepare := range map[string]func(r *rig){
		"publishing":          func(*rig) {},
		"reviving":            func(r *rig) { r.cutOff(); time.Sleep(10 * time.Second) },
		"a silent peer":       func(r *rig) { r.server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.Both)) },
		"an alarm":            func(r *rig) { r.server.Alarm(""); r.send(to("q", "1")) },
		"one in doubt":        func(r *rig) { r.send(&broker.Message{Exchange: "missing"}) },
		"confirms on the way": func(r *rig) { r.server.Inject(brokertest.Now(), brokertest.Delay(500*time.Millisecond)) },
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, nil, func(r *rig) {
				r.declare("q")
				r.must(r.within(time.Second, to("q", "0")))
				r.server.WithholdConfirms("q")
				c := r.send(to("q", "x"))
				synctest.Wait()
				prepare(r)
				synctest.Wait()
				r.server.ReleaseConfirms("q")
				if name != "confirms on the way" {
					r.server.WithholdConfirms("q")
				}
				for range 50 {
					r.send(to("q", "y"))
				}
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				began := time.Now()
				r.wantErr(r.p.Stop(ctx), context.Canceled)
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				r.wantErr(<-r.ended, publish.ErrStopped)
				r.wantErr(r.p.Flush(context.Background()), nil)
				select {
				case <-c.Done():
				default:
					t.Error("a message is not settled")
				}
				r.must(r.p.Stop(context.Background())) // once more
				if got := r.triggers(); got[len(got)-1] != publish.Stop || r.p.State() != publish.Disconnected {
					t.Errorf("%v, %s", got, r.p.State())
				}
			})
		})
	}
}

// The end of Run's ctx is a soft stop.
func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		p := newPublisher(t, server, nil)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		if err := server.DeclareQueue("q", nil); err != nil {
			t.Fatal(err)
		}
		c, err := p.Send(ctx, to("q", "0"))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-ended; err != nil || c.Err() != nil || len(server.Messages("q")) != 1 {
			t.Errorf("%v, %v, %d messages", err, c.Err(), len(server.Messages("q")))
		}
		if err := p.Run(context.Background()); !errors.Is(err, publish.ErrAlreadyRun) {
			t.Errorf("a second Run: %v", err)
		}
	})
}

func newPublisher(t *testing.T, server *brokertest.Server, edit func(*publish.Config)) *publish.Publisher {
	t.Helper()
	config := publish.Config{URLs: []string{server.URL()}, Dial: server.Dial, Name: "test"}
	if edit != nil {
		edit(&config)
	}
	p, err := publish.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What is sent before Run waits for it; a stop before it ends both.
func TestBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		if err := server.DeclareQueue("q", nil); err != nil {
			t.Fatal(err)
		}
		p := newPublisher(t, server, nil)
		early, err := p.Send(context.Background(), to("q", "early"))
		if err != nil {
			t.Fatal(err)
		}
		declared := make(chan error, 1)
		go func() {
			declared <- p.DeclareQueue(context.Background(), "own", broker.QueueOptions{Durable: true})
		}()
		time.Sleep(time.Hour)
		ended := make(chan error, 1)
		go func() { ended <- p.Run(context.Background()) }()
		if err := errors.Join(early.Wait(context.Background()), <-declared, p.Stop(context.Background()), <-ended); err != nil {
			t.Error(err)
		}
		if _, there := server.Queue("own"); !there || len(server.Messages("q")) != 1 {
			t.Errorf("%v", server.Queues())
		}

		p = newPublisher(t, server, nil)
		early, err = p.Send(context.Background(), to("q", "never"))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			declared <- p.DeclareQueue(context.Background(), "another", broker.QueueOptions{Durable: true})
		}()
		synctest.Wait()
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := early.Err(); !errors.Is(err, publish.ErrNotSent) || !errors.Is(err, publish.ErrStopped) {
			t.Errorf("what was sent before: %v", err)
		}
		if err := <-declared; !errors.Is(err, publish.ErrStopped) {
			t.Errorf("what was declared before: %v", err)
		}
		if err := p.Run(context.Background()); err != nil {
			t.Errorf("Run behind Stop: %v", err)
		}
		if n := len(server.Messages("q")); n != 1 {
			t.Errorf("%d messages", n)
		}
	})
}

// Stop in an observer only tells, since Run waits for the observer.
func TestStopInObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		var p *publish.Publisher
		told := make(chan error, 1)
		p = newPublisher(t, server, func(c *publish.Config) {
			c.Observers = []func(fsm.Event){func(e fsm.Event) {
				if e.Trigger == publish.Connected {
					told <- p.Stop(context.Background())
				}
			}}
		})
		if err := errors.Join(p.Run(context.Background()), <-told); err != nil {
			t.Error(err)
		}
	})
}

// journal refuses one trigger.
type journal struct {
	*fsm.Ring
	refuses fsm.Trigger
}

var errFull = errors.New("the disk is full")

func (j journal) Append(e fsm.Event) error {
	if e.Trigger == j.refuses {
		return errFull
	}
	return j.Ring.Append(e)
}

// A journal that refuses an event ends Run, and everything is settled.
func TestJournalRefuses(t *testing.T) {
	for _, trigger := range []fsm.Trigger{
		publish.Connect, publish.Connected, publish.ConnectionError, publish.Revived, publish.ConnectionBlocked, publish.ChannelError, publish.Stop,
	} {
		t.Run(string(trigger), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				if err := server.DeclareQueue("q", nil); err != nil {
					t.Fatal(err)
				}
				p := newPublisher(t, server, func(c *publish.Config) { c.Journal = journal{fsm.NewRing(100), trigger} })
				ended := make(chan error, 1)
				go func() { ended <- p.Run(context.Background()) }()
				first, err := p.Send(context.Background(), to("q", "0"))
				if err != nil && !errors.Is(err, errFull) {
					t.Fatal(err)
				}
				synctest.Wait()
				switch trigger {
				case publish.ConnectionError, publish.Revived:
					server.Inject(brokertest.Now(), brokertest.Reset())
				case publish.ConnectionBlocked:
					server.Alarm("")
				}
				second, _ := p.Send(context.Background(), to("q", "1"))
				if trigger == publish.ChannelError {
					second, _ = p.Send(context.Background(), &broker.Message{Exchange: "missing"})
				}
				if trigger == publish.Stop {
					_ = p.Stop(context.Background())
				}
				if got := <-ended; !errors.Is(got, errFull) || !errors.Is(got, fsm.ErrVetoed) {
					t.Errorf("Run: %v", got)
				}
				for _, c := range []*publish.Confirmation{first, second} {
					if c == nil { // it was not even accepted
						continue
					}
					select {
					case <-c.Done():
					default:
						t.Error("a message is not settled")
					}
				}
			})
		})
	}
}

// What waiting does not heal ends Run: at once before it has ever worked, after a while when it had.
func TestGivesUp(t *testing.T) {
	for _, row := range []struct {
		name     string
		edit     func(*publish.Config)
		fault    func(r *rig)
		after    time.Duration // at least; and a minute more at most
		class    broker.Class
		triggers []fsm.Trigger // the last ones
		is       error
	}{
		{"the login is refused at first", func(c *publish.Config) { c.URLs[0] = "amqp://guest:wrong@brokertest" }, nil, 0, broker.Auth,
			[]fsm.Trigger{publish.Connect, publish.FatalError}, nil},
		{"no such virtual host", func(c *publish.Config) { c.URLs[0] += "nowhere" }, nil, 0, broker.VHost,
			[]fsm.Trigger{publish.Connect, publish.FatalError}, nil},
		{"the password has changed", nil, func(r *rig) {
			r.server.SetPassword("guest", "another")
			r.server.Inject(brokertest.Now(), brokertest.Reset())
		}, 10 * time.Minute, broker.Auth, []fsm.Trigger{publish.ReviveFailed, publish.FatalError}, nil},
		{"the password has changed, HealWithin 1 min", func(c *publish.Config) { c.HealWithin = time.Minute }, func(r *rig) {
			r.server.SetPassword("guest", "another")
			r.server.Inject(brokertest.Now(), brokertest.Reset())
		}, time.Minute, broker.Auth, []fsm.Trigger{publish.ReviveFailed, publish.FatalError}, nil},
		{"the password has changed, HealWithin < 0", func(c *publish.Config) { c.HealWithin = -1 }, func(r *rig) {
			r.server.SetPassword("guest", "another")
			r.server.Inject(brokertest.Now(), brokertest.Reset())
		}, 0, broker.Auth, []fsm.Trigger{publish.ConnectionError, publish.FatalError}, nil},
		{"3 attempts", func(c *publish.Config) { c.MaxReviveAttempts = 3 }, (*rig).cutOff, 0, broker.Network,
			[]fsm.Trigger{publish.ConnectionError, publish.ReviveFailed, publish.ReviveFailed, publish.ReviveFailed, publish.RetriesExhausted}, publish.ErrRetriesExhausted},
	} {
		t.Run(row.name, func(t *testing.T) {
			inRig(t, row.edit, func(r *rig) {
				r.declare("q")
				if row.fault != nil {
					r.must(r.within(time.Second, to("q", "0")))
					time.Sleep(time.Minute)
					row.fault(r)
					synctest.Wait()
				}
				began := time.Now()
				c, _ := r.p.Send(context.Background(), to("q", "1"))
				err := <-r.ended
				var gaveUp *publish.Error
				if !errors.As(err, &gaveUp) || gaveUp.Class != row.class || row.is != nil && !errors.Is(err, row.is) {
					t.Fatalf("Run: %v", err)
				}
				if took := time.Since(began); took < row.after || took > row.after+time.Minute {
					t.Errorf("after %v", took)
				}
				if c != nil {
					r.wantErr(c.Err(), publish.ErrNotSent)
					r.wantErr(c.Err(), gaveUp)
				}
				r.wantErr(r.within(time.Second, to("q", "2")), gaveUp)
				r.wantErr(r.p.DeclareQueue(context.Background(), "x", broker.QueueOptions{}), gaveUp)
				if got := r.triggers(); len(got) < len(row.triggers) || !slices.Equal(got[len(got)-len(row.triggers):], row.triggers) {
					t.Errorf("%v", got)
				}
			})
		})
	}
}

// A password that is right again within the time heals it.
func TestHeals(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q")
		r.must(r.within(time.Second, to("q", "0")))
		r.server.SetPassword("guest", "another")
		r.server.Inject(brokertest.Now(), brokertest.Reset())
		c := r.send(to("q", "1"))
		time.Sleep(5 * time.Minute)
		r.server.SetPassword("guest", "guest")
		r.must(c.Wait(context.Background()))
		r.wantOrder("q", 2)
	})
}
