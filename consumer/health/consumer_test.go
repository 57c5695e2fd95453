package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/fsm"
)

const (
	password = "s3cret-passw0rd"
	body     = "the-body-of-a-message"
)

// rig is a consumer, shown, in synthetic time.
type rig struct {
	*testing.T
	broker *brokertest.Server
	config consumer.Config
	c      *consumer.Consumer
	page   *health.Server
	ended  chan error
}

// newRig has a consumer of the queues, which Run was not called of.
func newRig(t *testing.T, options health.Options, change func(*consumer.Config), queues ...string) *rig {
	b := brokertest.NewInMemoryServer(t)
	b.SetPassword("shop", password)
	events := health.NewEvents()
	r := &rig{T: t, broker: b, ended: make(chan error, 1)}
	r.config = consumer.Config{
		Name: "shop", Dial: b.Dial, URLs: []string{strings.Replace(b.URL(), "guest:guest", "shop:"+password, 1)},
		Observers: []func(fsm.Event){events.Observe},
	}
	for _, queue := range queues {
		if err := b.DeclareQueue(queue, nil); err != nil {
			t.Fatal(err)
		}
		r.config.Subscriptions = append(r.config.Subscriptions, consumer.Subscription{
			Queue: queue, Handler: func(context.Context, *consumer.Delivery) error { return nil },
		})
	}
	change(&r.config)
	c, err := consumer.New(r.config)
	if err != nil {
		t.Fatal(err)
	}
	r.c, r.page = c, health.New(c, events, options)
	return r
}

// run runs it until the returned function stops it.
func (r *rig) run() (stop func()) {
	go func() { r.ended <- r.c.Run(context.Background()) }()
	time.Sleep(time.Second)
	return func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.c.Stop(ctx)
		<-r.ended
	}
}

// status is valid, and has no secret.
func (r *rig) status() health.Document {
	r.Helper()
	w := get(r.page, "/status")
	text := w.Body.String()
	if err := schemaOf(r.T, r.page).Validate(decoded(r.T, w.Body.Bytes())); err != nil {
		r.Errorf("%s\n%v", text, err)
	}
	var d health.Document
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		r.Fatal(err)
	}
	return d
}

func (r *rig) expect(path string, code int, part string) {
	r.Helper()
	if w := get(r.page, path); w.Code != code || !strings.Contains(w.Body.String(), part) {
		r.Errorf("%s: %d\n%swant %d and %q", path, w.Code, w.Body, code, part)
	}
}

// troubled waits until the worst trouble is this one, of this queue.
func (r *rig) troubled(word, queue, text string) {
	r.Helper()
	var d health.Document
	for range 100 {
		if d = r.status(); len(d.Troubles) > 0 && d.Troubles[0].Word == word && d.Troubles[0].Queue == queue && strings.Contains(d.Troubles[0].Text, text) {
			return
		}
		time.Sleep(time.Second)
	}
	r.Errorf("the troubles are %+v, want first %q of %q with %q", d.Troubles, word, queue, text)
}

func TestProbesOfAConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, health.Options{ReadyWhile: []string{consumer.ReasonPaused}}, func(*consumer.Config) {}, "orders", "mails")
		r.expect("/readyz", 503, "[-]not_started failed: ")
		r.expect("/livez", 200, "ok")
		stop := r.run()
		r.expect("/readyz", 200, "ok")
		if d := r.status(); !d.Ready || len(d.Troubles) > 0 || d.State != consumer.Consuming || len(d.Subscriptions) != 2 {
			t.Errorf("at work it is %+v", d)
		}
		if err := r.c.Subscription("mails").Pause(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		r.expect("/readyz?verbose", 200, "[+]paused excluded: ok")
		if d := r.status(); len(d.Troubles) != 1 || d.Troubles[0].Word != "paused" || d.Troubles[0].Level != health.Note {
			t.Errorf("paused: %+v", d.Troubles)
		}
		r.broker.RefuseConnections()
		<-r.broker.Inject(brokertest.Now(), brokertest.Reset()).Played
		time.Sleep(time.Second)
		r.expect("/readyz", 503, "[-]reviving failed: ")
		time.Sleep(6 * time.Hour)
		r.expect("/livez", 200, "ok")
		r.expect("/readyz", 503, "[-]reviving failed: ")
		if err := r.broker.AcceptConnections(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		r.expect("/readyz", 200, "ok")
		stop()
		r.expect("/readyz", 503, "[-]stopped failed: ")
		r.expect("/livez", 200, "ok")
		r.expect("/history", 200, `"kind":"down"`)
	})
}

// A journal on a disk that hangs keeps no request waiting, and is a reason for a restart in the end.
func TestJournalHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		journal := &hanging{Ring: fsm.NewRing(0), on: make(chan struct{})}
		r := newRig(t, health.Options{}, func(c *consumer.Config) { c.Journal = journal }, "orders")
		stop := r.run()
		journal.hangs.Store(true)
		time.Sleep(consumer.StuckAfter / 2)
		r.expect("/livez", 200, "ok")
		time.Sleep(consumer.StuckAfter)
		r.expect("/livez", 503, "[-]stuck failed: ")
		r.troubled("stuck", "", "journal")
		r.expect("/history", 200, `"Consuming"`)
		journal.hangs.Store(false)
		close(journal.on)
		time.Sleep(time.Second)
		r.expect("/livez", 200, "ok")
		stop()
	})
}

// hanging is a journal on a disk that does.
type hanging struct {
	*fsm.Ring
	hangs atomic.Bool
	on    chan struct{}
}

func (h *hanging) Append(e fsm.Event) error {
	if h.hangs.Load() {
		<-h.on
	}
	return h.Ring.Append(e)
}

func TestTroublesOfAConsumer(t *testing.T) {
	for _, c := range []struct {
		name        string
		change      func(*consumer.Subscription) // the first one, payments
		fault       func(*rig)
		word, queue string
		text        string
	}{
		{name: "away", word: "broker away", text: "dial", fault: func(r *rig) {
			r.broker.RefuseConnections()
			<-r.broker.Inject(brokertest.Now(), brokertest.Reset()).Played
		}},
		{name: "deleted", word: "queue missing", queue: "payments", text: "payments", fault: func(r *rig) { r.broker.DeleteQueue("payments") }},
		{name: "permission", word: "permission missing", queue: "payments", text: "refused for user 'shop'", fault: func(r *rig) {
			for i := range 100 { // it is tried again and again
				r.broker.Inject(brokertest.OnMethod("basic.consume", i+1), brokertest.CloseChannel(403, "ACCESS_REFUSED - read access to queue 'payments' in vhost '/' refused for user 'shop'"))
			}
			r.broker.DeleteQueue("payments")
			if err := r.broker.DeclareQueue("payments", nil); err != nil {
				r.Fatal(err)
			}
		}},
		{name: "hung", word: "handler hangs", queue: "payments", text: "1 of 1 busy, 2 messages waiting; none has come to its end yet",
			change: func(s *consumer.Subscription) {
				s.Handler = func(ctx context.Context, _ *consumer.Delivery) error {
					<-ctx.Done()
					return nil
				}
			}},
		{name: "breaker", word: "breaker open", queue: "payments", text: "no database",
			change: func(s *consumer.Subscription) {
				s.Handler = func(context.Context, *consumer.Delivery) error {
					return consumer.Unavailable(errors.New("no database"))
				}
			}},
		{name: "poison", word: "poison", queue: "payments", text: "3 messages parked in the last 10 minutes, after 3 failed calls: no such customer",
			change: func(s *consumer.Subscription) {
				s.Retry.Poison = consumer.Park
				s.Handler = func(context.Context, *consumer.Delivery) error {
					return consumer.Permanent(errors.New("no such customer"))
				}
			}},
		{name: "blocked", word: "publishing is blocked", text: "the broker reads nothing: low on memory",
			change: func(s *consumer.Subscription) {
				s.Retry.Poison = consumer.Park
				s.Handler = func(context.Context, *consumer.Delivery) error {
					return consumer.Permanent(errors.New("no such customer"))
				}
			},
			fault: func(r *rig) {
				r.broker.Alarm("low on memory")
				_ = r.broker.Publish("payments", body)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, health.Options{}, func(config *consumer.Config) {
					if c.change != nil {
						c.change(&config.Subscriptions[0])
					}
				}, "payments", "orders", "mails")
				defer r.run()()
				var reader reader
				defer open(r.page, &reader, "/events", "")()
				if err := r.broker.Publish("payments", body, body, body); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if c.fault != nil {
					c.fault(r)
				}
				r.troubled(c.word, c.queue, c.text)
				all := reader.seen()
				for _, path := range []string{"/", "/status", "/history", "/readyz?verbose", "/livez?verbose"} {
					all += get(r.page, path).Body.String()
				}
				for _, secret := range []string{password, body} {
					if strings.Contains(all, secret) {
						t.Errorf("%q is shown", secret)
					}
				}
			})
		})
	}
}
