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
)

// When a caller's ctx ends, the error says whether the broker may have the message, and nobody else notices.
func TestCallerLeaves(t *testing.T) {
	bad := func() *broker.Message { return &broker.Message{Exchange: "missing"} }
	for _, row := range []struct {
		name    string
		prepare func(r *rig)
		message *broker.Message
		want    error
		copies  int // of it, in the end
	}{
		{"ctx has ended before", func(r *rig) {}, nil, publish.ErrNotSent, 0},
		{"no connection", func(r *rig) { r.cutOff() }, to("q", "x"), publish.ErrNotSent, 0},
		{"an alarm", func(r *rig) {
			r.server.Alarm("")
			r.send(to("p", "the first one makes it known"))
			synctest.Wait()
		}, to("q", "x"), publish.ErrNotSent, 0},
		{"no room", func(r *rig) {
			r.server.WithholdConfirms("q")
			for range 2 {
				r.send(to("q", "earlier"))
			}
		}, to("q", "x"), publish.ErrNotSent, 0},
		{"sent, and not confirmed", func(r *rig) { r.server.WithholdConfirms("q") }, to("q", "x"), publish.ErrNotKnown, 1},
		{"sent, and the connection is lost", func(r *rig) {
			r.server.WithholdConfirms("q")
			go func() { time.Sleep(time.Second); r.cutOff() }()
		}, to("q", "x"), publish.ErrNotKnown, 1},
		{"behind one in doubt", func(r *rig) {
			r.server.WithholdConfirms("q")
			r.send(to("q", "earlier"))
			r.send(bad())
			synctest.Wait()
		}, to("q", "x"), publish.ErrNotSent, 0},
		{"in doubt, and confirmed by nobody", func(r *rig) {
			r.server.WithholdConfirms("q")
			time.AfterFunc(10*time.Millisecond, func() { r.send(bad()) })
		}, to("q", "x"), publish.ErrNotKnown, 2}, // the main channel had ended
	} {
		t.Run(row.name, func(t *testing.T) {
			inRig(t, func(c *publish.Config) { c.Window = 4 }, func(r *rig) {
				r.declare("q", "p")
				r.must(r.within(time.Second, to("p", "connected")))
				row.prepare(r)
				why := errors.New("the caller has no time")
				ctx, cancel := context.WithTimeoutCause(context.Background(), 2*time.Second, why)
				defer cancel()
				m := row.message
				if m == nil {
					m = to("q", "x")
					time.Sleep(3 * time.Second)
				}
				began := time.Now()
				err := r.p.Publish(ctx, m)
				r.wantErr(err, row.want)
				r.wantErr(err, why)
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				r.server.Inject(brokertest.Now(), brokertest.Reset()) // nobody waits for it: it is not sent again
				synctest.Wait()
				_ = r.server.AcceptConnections()
				r.server.ClearAlarm()
				r.server.ReleaseConfirms("q")
				r.flush(time.Minute)
				r.must(r.within(time.Minute, to("q", "later")))
				got := r.bodies("q")
				if n := count(got, "x"); n != row.copies || got[len(got)-1] != "later" {
					t.Errorf("%v, want %d copies of x", got, row.copies)
				}
				if s := r.p.Stats(); s.Unconfirmed != 0 || s.Waiting != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func count(list []string, what string) (n int) {
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}

// cutOff takes the connection away, and lets no other come.
func (r *rig) cutOff() {
	r.server.RefuseConnections()
	r.server.Inject(brokertest.Now(), brokertest.Reset())
	synctest.Wait()
}

// Who stops to wait for a confirmation has changed nothing.
func TestWaitEnds(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q")
		r.server.WithholdConfirms("q")
		c := r.send(to("q", "x"))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		r.wantErr(c.Wait(ctx), context.DeadlineExceeded)
		r.wantErr(r.p.Flush(ctx), context.DeadlineExceeded)
		r.server.Inject(brokertest.Now(), brokertest.Reset())
		time.Sleep(time.Second)
		r.must(c.Err()) // not yet
		r.server.ReleaseConfirms("q")
		r.must(c.Wait(context.Background()))
		if got := r.bodies("q"); len(got) != 2 {
			t.Errorf("%v", got)
		}
	})
}

// Callers who come and go while there is no room leave nothing behind.
func TestCallersComeAndGo(t *testing.T) {
	inRig(t, func(c *publish.Config) { c.Window = 2 }, func(r *rig) {
		r.declare("q", "p")
		r.server.WithholdConfirms("q")
		r.send(to("q", "0"))
		for i := range 200 {
			r.wantErr(r.within(time.Second, to("q", "no room")), publish.ErrNotSent)
			r.must(r.p.Check())
			r.must(r.within(time.Second, to("p", fmt.Sprint(i))))
		}
		r.server.ReleaseConfirms("q")
		r.flush(time.Second)
		r.wantOrder("p", 200)
		r.wantOrder("q", 1)
	})
}

// Each message that the broker does not take has an error of its own, in whatever company it is.
func TestOutcomes(t *testing.T) {
	huge := map[string]any{"h": string(make([]byte, 140_000))}
	var refused *broker.Error
	var unroutable *publish.UnroutableError
	for _, row := range []struct {
		name    string
		message *broker.Message
		code    int
		is      error
		as      any
	}{
		{"no such exchange", &broker.Message{Exchange: "missing"}, 404, nil, &refused},
		{"too large for the broker", &broker.Message{RoutingKey: "q", Body: make([]byte, 1001)}, 406, nil, &refused},
		{"of another user", &broker.Message{RoutingKey: "q", UserID: "other"}, 406, nil, &refused},
		{"a bad expiration", &broker.Message{RoutingKey: "q", Expiration: "soon"}, 406, nil, &refused},
		{"no such queue", &broker.Message{RoutingKey: "nowhere"}, 0, broker.ErrUnroutable, &unroutable},
		{"not bound", &broker.Message{Exchange: "amq.direct", RoutingKey: "q"}, 0, broker.ErrUnroutable, &unroutable},
		{"a full queue", &broker.Message{RoutingKey: "full"}, 0, broker.ErrRefused, nil},
		{"headers larger than a frame", &broker.Message{RoutingKey: "q", Headers: huge}, 0, broker.ErrHeaderTooLarge, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			inRig(t, nil, func(r *rig) {
				r.declare("q", "p")
				r.must(r.server.DeclareQueue("full", map[string]any{"x-max-length": int64(0), "x-overflow": "reject-publish"}))
				r.must(r.within(time.Second, to("q", "0")))
				for i := range 20 {
					r.send(to("q", fmt.Sprint(i+1)))
					r.send(to("p", fmt.Sprint(i)))
				}
				bad := r.send(row.message)
				for i := range 20 {
					r.send(to("q", fmt.Sprint(i+21)))
					r.send(to("p", fmt.Sprint(i+20)))
				}
				r.flush(time.Minute)
				err := bad.Err()
				if row.is != nil {
					r.wantErr(err, row.is)
				}
				if row.as != nil && !errors.As(err, row.as) {
					t.Errorf("%T: %v", err, err)
				}
				if row.code != 0 && refused.Code != row.code {
					t.Errorf("%v", err)
				}
				r.wantOrder("q", 41)
				r.wantOrder("p", 40)
				t.Log(err, r.triggers())
			}, brokertest.MaxMessageSize(1000))
		})
	}
	inRig(t, nil, func(r *rig) {
		if _, err := r.p.Send(context.Background(), to("q\xff", "")); err == nil {
			t.Error("a routing key that is not UTF-8 was taken")
		}
		if s := r.p.Stats(); s != (publish.Stats{}) {
			t.Errorf("%+v", s)
		}
	})
}

// A message that came back, and whose confirm was lost, is routed by its next copy alone.
func TestUnroutableNoMore(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.server.Inject(brokertest.OnMethod("basic.ack", 1), brokertest.Drop())
		c := r.send(to("q", "0"))
		synctest.Wait()
		if n := r.server.Count("basic.return"); n != 1 {
			t.Fatalf("it came back %d times", n)
		}
		r.declare("q")
		r.server.Inject(brokertest.Now(), brokertest.Reset())
		r.must(c.Wait(context.Background()))
		r.wantOrder("q", 1)
	})
}

// Of several messages with one id, that one is unroutable which goes nowhere.
func TestOneIDForAll(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q", "p")
		r.server.WithholdConfirms("q")
		var sent []*publish.Confirmation
		for _, queue := range []string{"q", "nowhere", "p", "q", "q"} {
			m := to(queue, "x")
			m.MessageID = "the same"
			sent = append(sent, r.send(m))
		}
		synctest.Wait()
		r.server.ReleaseConfirms("q")
		r.flush(time.Minute)
		for i, c := range sent {
			if (i == 1) != errors.Is(c.Err(), broker.ErrUnroutable) {
				t.Errorf("%d: %v", i, c.Err())
			}
		}
		if n := len(r.bodies("q")) + len(r.bodies("p")); n != 4 {
			t.Errorf("%d messages are stored", n)
		}
	})
}

// What goes where a message was refused is sent one by one, until one is accepted.
func TestSuspicionEnds(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q")
		for range 2 {
			r.must(r.within(time.Second, to("q", "x")))
			questions := r.server.Count("basic.qos")
			var refused *broker.Error
			if err := r.within(time.Second, &broker.Message{RoutingKey: "q", UserID: "other"}); !errors.As(err, &refused) {
				t.Errorf("%v", err)
			}
			for range 100 {
				r.must(r.within(time.Second, to("q", "x")))
			}
			if n := r.server.Count("basic.qos") - questions; n < 1 || n > 2 { // of the refused one, perhaps, and of the next
				t.Errorf("the broker was asked %d times", n)
			}
		}
		if n := len(r.notes()); n != 2 {
			t.Errorf("%d notes", n)
		}
	})
}

// A message without an id keeps none; what it is told by is in a header, the same in each copy.
func TestNoMessageID(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q")
		headers := map[string]any{"own": int32(1)}
		r.server.WithholdConfirms("q")
		c := r.send(&broker.Message{RoutingKey: "q", NoMessageID: true, NoTimestamp: true, Headers: headers})
		synctest.Wait()
		r.server.Inject(brokertest.Now(), brokertest.Reset())
		time.Sleep(time.Second)
		r.server.ReleaseConfirms("q")
		r.must(c.Wait(context.Background()))
		got := r.server.Messages("q")
		if len(got) != 2 {
			t.Fatalf("%d copies", len(got))
		}
		id, _ := got[0].Headers[broker.HeaderPublishID].(string)
		for _, m := range got {
			if id == "" || m.Headers[broker.HeaderPublishID] != id || m.MessageID != "" || !m.Timestamp.IsZero() || m.Headers["own"] != int32(1) {
				t.Errorf("%+v", m)
			}
		}
		if len(headers) != 1 {
			t.Errorf("the caller's headers became %v", headers)
		}
		r.wantErr(r.within(time.Second, &broker.Message{RoutingKey: "nowhere", NoMessageID: true}), broker.ErrUnroutable)
	})
}

// What is sent again is the same message, also by its id and its time.
func TestCopiesAreTheSame(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q")
		r.server.WithholdConfirms("q")
		c := r.send(to("q", "x"))
		synctest.Wait()
		time.Sleep(10 * time.Second)
		r.server.Inject(brokertest.Now(), brokertest.Reset())
		time.Sleep(time.Second)
		r.server.ReleaseConfirms("q")
		r.must(c.Wait(context.Background()))
		got := r.server.Messages("q")
		if len(got) != 2 || got[0].MessageID == "" || got[0].MessageID != got[1].MessageID || !got[0].Timestamp.Equal(got[1].Timestamp) {
			t.Errorf("%+v", got)
		}
	})
}

// Confirms with multiple are for all that came before.
func TestMultiple(t *testing.T) {
	inRig(t, nil, func(r *rig) {
		r.declare("q", "p")
		r.server.WithholdConfirms("q")
		var q, p []*publish.Confirmation
		for i := range 50 {
			q = append(q, r.send(to("q", fmt.Sprint(i))))
			p = append(p, r.send(to("p", fmt.Sprint(i))))
		}
		synctest.Wait()
		settled := func(list []*publish.Confirmation) int {
			return len(list) - len(slices.DeleteFunc(slices.Clone(list), func(c *publish.Confirmation) bool {
				select {
				case <-c.Done():
					return true
				default:
					return false
				}
			}))
		}
		if settled(q) != 0 || settled(p) != 50 {
			t.Errorf("%d and %d are settled", settled(q), settled(p))
		}
		before := r.server.Count("basic.ack")
		r.server.ReleaseConfirms("q")
		synctest.Wait()
		if settled(q) != 50 || r.server.Count("basic.ack") != before+1 {
			t.Errorf("%d are settled, by %d frames", settled(q), r.server.Count("basic.ack")-before)
		}
	})
}
