package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
)

// republishing runs a test in a bubble, with a broker and a republisher.
func republishing(t *testing.T, test func(t *testing.T, server *brokertest.Server, r *republisher)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		endpoints, err := broker.ParseEndpoints(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		r := newRepublisher(broker.Plan{Endpoints: endpoints, Dial: server.Dial, Name: "test"}, zerolog.Nop())
		t.Cleanup(func() { r.close(context.Background()) })
		test(t, server, r)
	})
}

func declareIn(t *testing.T, server *brokertest.Server, queue string, arguments map[string]any) {
	t.Helper()
	if err := server.DeclareQueue(queue, arguments); err != nil {
		t.Fatal(err)
	}
}

var (
	errHandler = errors.New("no such customer")
	firstTime  = time.Unix(1_000_000_000, 0)
	secondTime = firstTime.Add(time.Hour)
	itFailed   = failure{err: errHandler, attempts: 1, first: firstTime, last: firstTime}
)

func delivered(body string) *Delivery {
	return &Delivery{Body: []byte(body), Queue: "work", Exchange: "events", RoutingKey: "work.now", MessageID: body}
}

func wantBodies(t *testing.T, server *brokertest.Server, queue string, want ...string) {
	t.Helper()
	var got []string
	for _, m := range server.Messages(queue) {
		got = append(got, string(m.Body))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", queue, got, want)
	}
}

func wantClass(t *testing.T, err error, want broker.Class) {
	t.Helper()
	if class, _ := broker.Classify(err); err == nil || class != want {
		t.Errorf("got %v, want class %s", err, want)
	}
}

// elapsed is how long f runs, in the bubble's time.
func elapsed(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

func TestAttempts(t *testing.T) {
	tests := []struct {
		header any
		want   int
	}{
		{nil, 0}, {int64(3), 3}, {int32(3), 3}, {int16(3), 3}, {int8(3), 3}, {int(3), 3},
		{uint32(3), 3}, {uint16(3), 3}, {uint8(3), 3}, {uint64(3), 3},
		{int64(-3), 0}, {int64(math.MaxInt64), math.MaxInt32}, {uint64(math.MaxUint64), math.MaxInt32},
		{"3", 0}, {3.0, 0}, {true, 0}, {time.Unix(3, 0), 0}, {[]any{int64(3)}, 0},
	}
	for _, test := range tests {
		d := &Delivery{Headers: map[string]any{HeaderAttempts: test.header}}
		if got := Attempts(d); got != test.want {
			t.Errorf("%T %v: %d, want %d", test.header, test.header, got, test.want)
		}
	}
	if got := Attempts(&Delivery{}); got != 0 {
		t.Errorf("no headers: %d", got)
	}
}

func TestErrorText(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"short", "no", "no"},
		{"as long as may be", strings.Repeat("a", maxErrorText), strings.Repeat("a", maxErrorText)},
		{"longer", strings.Repeat("a", maxErrorText+1), strings.Repeat("a", maxErrorText)},
		{"amid a rune", strings.Repeat("a", maxErrorText-1) + "€", strings.Repeat("a", maxErrorText-1)},
		{"invalid", "a\xffb", "a\uFFFDb"},
		{"invalid at the end", strings.Repeat("a", maxErrorText-1) + "\xff", strings.Repeat("a", maxErrorText-1)},
	}
	for _, test := range tests {
		if got := errorText(errors.New(test.text)); got != test.want || !utf8.ValidString(got) {
			t.Errorf("%s: %q", test.name, got)
		}
	}
	if got := errorText(nil); got != "" {
		t.Errorf("nil: %q", got)
	}
}

func TestDelayQueue(t *testing.T) {
	tests := []struct {
		after time.Duration
		want  int64 // milliseconds
	}{
		{1, 1}, {time.Millisecond, 1}, {time.Millisecond + 1, 2}, {99 * time.Millisecond, 99},
		{99*time.Millisecond + 1, 100}, {100 * time.Millisecond, 100}, {101 * time.Millisecond, 110},
		{990 * time.Millisecond, 990}, {991 * time.Millisecond, 1000}, {1234 * time.Millisecond, 1300},
		{time.Minute, 60_000}, {61234 * time.Millisecond, 62_000}, {time.Hour, 3_600_000}, {24 * time.Hour, 87_000_000},
		{maxDelay - 1, 4_200_000_000}, {maxDelay, 4_200_000_000},
	}
	for _, test := range tests {
		name, options, err := delayQueue("work", test.after)
		if err != nil {
			t.Error(err)
		}
		want := broker.QueueOptions{Durable: true, Arguments: map[string]any{
			"x-queue-type": "classic", "x-message-ttl": test.want, "x-expires": test.want + 600_000,
			"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work",
		}}
		if name != fmt.Sprint("work.retry.", test.want) || !reflect.DeepEqual(options, want) {
			t.Errorf("%v: %s %v", test.after, name, options)
		}
	}
}

func TestDelayQueueThatCannotBe(t *testing.T) {
	tests := []struct {
		queue string
		after time.Duration
	}{
		{"work", 0}, {"work", -time.Second}, {"work", maxDelay + 1}, {"work", math.MaxInt64},
		{"", time.Second}, {"amq.gen-1", time.Second}, {strings.Repeat("q", 247), 10 * time.Millisecond},
	}
	for _, test := range tests {
		if name, _, err := delayQueue(test.queue, test.after); !errors.Is(err, errDelay) {
			t.Errorf("%s after %v: %s, %v", test.queue, test.after, name, err)
		}
	}
	if name, _, err := delayQueue(strings.Repeat("q", 247), 9*time.Millisecond); err != nil || len(name) != 255 {
		t.Errorf("255 bytes: %s %v", name, err)
	}
}

func TestRepublishedMessage(t *testing.T) {
	r := newRepublisher(broker.Plan{}, zerolog.Nop())
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	death := []any{map[string]any{"queue": "work", "reason": "expired"}}
	d := &Delivery{
		Body: []byte("x"), Queue: "work", Exchange: "events", RoutingKey: "work.now", Redelivered: true, DeliveryMode: 1,
		Headers: map[string]any{
			"a": map[string]any{"b": int32(1)}, "x-death": death, "x-first-death-queue": "work", "x-delivery-count": int64(2),
			"x-stream-offset": int64(9), "CC": []any{"copy"},
		},
		ContentType: "text/plain", ContentEncoding: "gzip", Priority: 7, CorrelationID: "correlation", ReplyTo: "answers",
		Expiration: "60000", MessageID: "id", Timestamp: firstTime, Type: "type", UserID: "somebody", AppID: "app",
	}
	headers := map[string]any{
		"a": map[string]any{"b": int32(1)}, "x-first-death-queue": "work",
		HeaderAttempts: int64(1), HeaderError: "no such customer", HeaderFirstFailed: firstTime, HeaderLastFailed: firstTime,
		HeaderQueue: "work", HeaderHost: host, HeaderExchange: "events", HeaderRoutingKey: "work.now",
		HeaderExpiration: "60000", HeaderUserID: "somebody", HeaderCC: []any{"copy"},
	}
	want := broker.Message{
		Body: []byte("x"), Headers: headers,
		ContentType: "text/plain", ContentEncoding: "gzip", Priority: 7, CorrelationID: "correlation", ReplyTo: "answers",
		MessageID: "id", Timestamp: firstTime, Type: "type", AppID: "app",
	}
	before := maps.Clone(d.Headers)
	first := r.message(d, itFailed)
	if !reflect.DeepEqual(first, want) {
		t.Errorf("got %+v\nwant %+v", first, want)
	}
	if !reflect.DeepEqual(d.Headers, before) {
		t.Errorf("the delivery was changed: %v", d.Headers)
	}

	// It comes back from the delay queue, and fails again.
	back := &Delivery{Body: []byte("x"), Queue: "work", RoutingKey: "work", Headers: maps.Clone(first.Headers)}
	back.Headers["x-death"] = death
	second := r.message(back, failure{err: errors.New("again"), attempts: 2, first: secondTime, last: secondTime})
	headers[HeaderAttempts], headers[HeaderError], headers[HeaderLastFailed] = int64(2), "again", secondTime
	if want := (broker.Message{Body: []byte("x"), Headers: headers, NoTimestamp: true}); !reflect.DeepEqual(second, want) {
		t.Errorf("got %+v\nwant %+v", second, want)
	}
}

func TestPark(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		// One that an operator has made is used as it is.
		declareIn(t, server, "made", map[string]any{"x-queue-type": "quorum", "x-max-length": int64(2), "x-overflow": "reject-publish"})
		for _, body := range []string{"1", "2"} {
			if err := r.park(t.Context(), delivered(body), "made", itFailed); err != nil {
				t.Fatal(err)
			}
		}
		wantBodies(t, server, "made", "1", "2")
		if err := r.park(t.Context(), delivered("3"), "made", itFailed); !errors.Is(err, broker.ErrRefused) {
			t.Errorf("into a full queue: %v", err)
		}
		if n := server.Count("queue.declare"); n != 0 {
			t.Errorf("declared %d times", n)
		}

		// One that is missing is declared, again when it was deleted, and survives the broker's restart.
		for _, body := range []string{"4", "5"} {
			server.DeleteQueue("missing")
			if err := r.park(t.Context(), delivered(body), "missing", itFailed); err != nil {
				t.Fatal(err)
			}
			wantBodies(t, server, "missing", body)
		}
		if err := r.park(t.Context(), delivered("6"), "missing", itFailed); err != nil {
			t.Fatal(err)
		}
		if n := server.Count("queue.declare"); n != 2 {
			t.Errorf("declared %d times, want 2", n)
		}
		server.StopApp()
		if err := server.StartApp(); err != nil {
			t.Fatal(err)
		}
		wantBodies(t, server, "missing", "5", "6")
		m := server.Messages("missing")[0]
		if m.Exchange != "" || m.RoutingKey != "missing" || m.MessageID != "5" || m.Transient || m.Headers[HeaderAttempts] != int64(1) {
			t.Errorf("parked as %+v", m)
		}
	})
}

// Between the returned message and the declaration, somebody else may declare the queue, and otherwise.
func TestParkWhileTheQueueIsDeclaredOtherwise(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		go func() {
			<-server.Inject(brokertest.OnMethod("basic.return", 1), brokertest.Delay(time.Second))
			declareIn(t, server, "parked", map[string]any{"x-queue-type": "quorum"})
		}()
		synctest.Wait()
		if err := r.park(t.Context(), delivered("x"), "parked", itFailed); err != nil {
			t.Error(err)
		}
		wantBodies(t, server, "parked", "x")
		if n := server.Count("queue.declare"); n != 1 {
			t.Errorf("declared %d times", n)
		}
	})
}

func TestParkThatTheBrokerRefuses(t *testing.T) {
	tests := []struct {
		name  string
		queue string
		code  uint16 // what the declaration is answered with, if not by itself
		class broker.Class
		err   error
	}{
		{name: "a reserved name", queue: "amq.parked", class: broker.Auth},
		{name: "no permission", queue: "parked", code: 403, class: broker.Auth},
		{name: "another one, which is gone at once", queue: "parked", code: 406, err: broker.ErrUnroutable},
		{name: "a name that is too long", queue: strings.Repeat("q", 256), class: broker.Unknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
				if test.code != 0 {
					server.Inject(brokertest.OnMethod("queue.declare", 1), brokertest.CloseChannel(test.code, ""))
				}
				err := r.park(t.Context(), delivered("x"), test.queue, itFailed)
				if test.err == nil {
					wantClass(t, err, test.class)
				} else if !errors.Is(err, test.err) {
					t.Errorf("got %v, want %v", err, test.err)
				}
				if err := r.park(t.Context(), delivered("y"), "another", itFailed); err != nil || server.Count("connection.open") != 1 {
					t.Errorf("the next one: %v, after %d connections", err, server.Count("connection.open"))
				}
			})
		})
	}
}

func TestDelayedMessagesComeBack(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		declareIn(t, server, "work", nil)
		d := delivered("x")
		d.Expiration = "5"
		if err := r.delay(t.Context(), d, 1230*time.Millisecond, itFailed); err != nil {
			t.Fatal(err)
		}
		wantBodies(t, server, "work.retry.1300", "x")
		time.Sleep(1299 * time.Millisecond)
		synctest.Wait()
		wantBodies(t, server, "work")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		wantBodies(t, server, "work.retry.1300")
		wantBodies(t, server, "work", "x")
		m := server.Messages("work")[0]
		if m.MessageID != "x" || m.Expiration != "" || m.Headers[HeaderExpiration] != "5" || m.Headers[HeaderExchange] != "events" {
			t.Errorf("came back as %+v", m)
		}
	})
}

// A delay queue goes ten minutes after its last message, and never before.
func TestDelayQueueOutlivesItsMessages(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		declareIn(t, server, "work", nil)
		const after = time.Hour
		for i := range 5 { // each one when the lease that the one before it took is nearly over
			if i > 0 {
				time.Sleep(after + delayLease - time.Second)
			}
			if err := r.delay(t.Context(), delivered(fmt.Sprint(i)), after, itFailed); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(after)
		synctest.Wait()
		wantBodies(t, server, "work", "0", "1", "2", "3", "4")
		time.Sleep(delayLease)
		synctest.Wait()
		if q, there := server.Queue("work.retry.3600000"); there {
			t.Errorf("is left behind: %+v", q)
		}
	})
}

func TestDelayThatFails(t *testing.T) {
	const queue = "work.retry.1000"
	tests := []struct {
		name string
		prep func(t *testing.T, server *brokertest.Server)
		want func(error) bool
	}{
		{"the queue is another one", func(t *testing.T, server *brokertest.Server) { declareIn(t, server, queue, nil) },
			func(err error) bool { class, _ := broker.Classify(err); return class == broker.Precondition }},
		{"the queue is deleted at once", func(t *testing.T, server *brokertest.Server) {
			server.Inject(brokertest.OnMethod("queue.declare-ok", 1), brokertest.DeleteQueue(queue))
		}, func(err error) bool { return errors.Is(err, broker.ErrUnroutable) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
				test.prep(t, server)
				if err := r.delay(t.Context(), delivered("x"), time.Second, itFailed); !test.want(err) {
					t.Errorf("got %v", err)
				}
				wantBodies(t, server, queue)
			})
		})
	}
}

// A confirm that comes late proves nothing: the queue may have been deleted when the message came.
func TestDelayWaitsNoLongerThanTheLease(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		server.Inject(brokertest.OnMethod("basic.ack", 1), brokertest.Drop())
		var err error
		if d := elapsed(func() { err = r.delay(t.Context(), delivered("x"), time.Second, itFailed) }); d != delayLease/2 {
			t.Errorf("waited for %v", d)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRepublishOverALostConnection(t *testing.T) {
	once := func(server *brokertest.Server, method string, f brokertest.Fault) {
		server.Inject(brokertest.OnMethod(method, 1), f)
	}
	tests := []struct {
		name        string
		fault       func(server *brokertest.Server)
		want        broker.Class // "" for none
		connections int
		stored      int
	}{
		{"while idle", func(s *brokertest.Server) { s.Inject(brokertest.Now, brokertest.Reset()) }, "", 2, 1},
		{"before the message arrived", func(s *brokertest.Server) { once(s, "basic.publish", brokertest.Reset()) }, "", 2, 1},
		{"before the confirm arrived", func(s *brokertest.Server) { once(s, "basic.ack", brokertest.Reset()) }, "", 2, 2},
		{"with the channel", func(s *brokertest.Server) { once(s, "basic.publish", brokertest.CloseChannel(406, "")) }, "", 2, 1},
		{"closed by the broker", func(s *brokertest.Server) { once(s, "basic.publish", brokertest.CloseConnection(320, "")) }, "", 2, 1},
		{"silently", func(s *brokertest.Server) { once(s, "basic.publish", brokertest.Freeze(brokertest.Both)) }, "", 2, 1},
		{"twice", func(s *brokertest.Server) {
			once(s, "basic.publish", brokertest.Reset())
			s.Inject(brokertest.OnMethod("basic.publish", 2), brokertest.Reset())
		}, broker.Network, 2, 0},
		{"for longer", func(s *brokertest.Server) { s.StopApp() }, broker.Network, 1, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
				declareIn(t, server, "parked", nil)
				if err := r.park(t.Context(), delivered("first"), "parked", itFailed); err != nil {
					t.Fatal(err)
				}
				test.fault(server)
				synctest.Wait()
				err := r.park(t.Context(), delivered("x"), "parked", itFailed)
				if class, _ := broker.Classify(err); class != test.want {
					t.Errorf("got %v, want class %q", err, test.want)
				}
				if n := server.Count("connection.open"); n != test.connections {
					t.Errorf("%d connections, want %d", n, test.connections)
				}
				stored := server.Messages("parked")
				if n := len(stored) - 1; n != test.stored {
					t.Errorf("stored %d times, want %d", n, test.stored)
				}
				server.StartApp()
				if err := r.park(t.Context(), delivered("last"), "parked", itFailed); err != nil {
					t.Errorf("the next one: %v", err)
				}
				time.Sleep(time.Minute) // the broker misses the heartbeats of one that went silently
				if c := server.Connections(); len(c) != 1 {
					t.Errorf("connections are left: %+v", c)
				}
			})
		})
	}
}

func TestRepublishBounded(t *testing.T) {
	tests := []struct {
		name   string
		method string // what the broker loses
	}{
		{"no handshake", "connection.open"}, {"no channel", "channel.open"}, {"no confirm", "basic.ack"}, {"no declare-ok", "queue.declare"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
				server.Inject(brokertest.OnMethod(test.method, 1), brokertest.Drop())
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var err error
				if d := elapsed(func() { err = r.park(ctx, delivered("x"), "parked", itFailed) }); d != time.Second {
					t.Errorf("returned after %v", d)
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				time.Sleep(time.Minute) // an attempt to connect was given up meanwhile
				if err := r.park(t.Context(), delivered("y"), "another", itFailed); err != nil {
					t.Errorf("the next one: %v", err)
				}
			})
		})
	}
}

// Who leaves takes nobody else's connection away, and opens none.
func TestRepublishAbandonedWhileOpening(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		server.Inject(brokertest.OnConnect(1), brokertest.Delay(50*time.Millisecond))
		var work sync.WaitGroup
		for i := range 10 {
			patience := time.Minute
			if i%2 == 0 {
				patience = 10 * time.Millisecond
			}
			work.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				var err error
				d := elapsed(func() { err = r.park(ctx, delivered(fmt.Sprint(i)), "parked", itFailed) })
				if patience == time.Minute && err != nil || patience < time.Minute && (d != patience || !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("with %v: %v after %v", patience, err, d)
				}
			})
		}
		work.Wait()
		if n := len(server.Messages("parked")); n != 5 {
			t.Errorf("%d parked", n)
		}
		if n := server.Count("connection.open"); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestRepublishAbandonedDeclaration(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		server.Inject(brokertest.OnMethod("queue.declare", 1), brokertest.Drop())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.park(ctx, delivered("x"), "parked", itFailed); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if err := r.park(t.Context(), delivered("y"), "another", itFailed); err != nil {
			t.Errorf("the next one: %v", err)
		}
		if n := server.Count("connection.open"); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// Confirms that nobody waits for any more must not fill the window.
func TestRepublishAbandonedConfirms(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		declareIn(t, server, "parked", nil)
		if err := r.park(t.Context(), delivered("first"), "parked", itFailed); err != nil {
			t.Fatal(err)
		}
		const rounds, each = 3, 200 // the window has 256 places
		for range rounds {
			server.Inject(brokertest.Now, brokertest.Delay(2*time.Second))
			var work sync.WaitGroup
			for i := range each {
				work.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					if err := r.park(ctx, delivered(fmt.Sprint(i)), "parked", itFailed); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got %v", err)
					}
				})
			}
			work.Wait()
			server.Inject(brokertest.Now, brokertest.Delay(0))
			time.Sleep(10 * time.Second)
		}
		if err := r.park(t.Context(), delivered("last"), "parked", itFailed); err != nil {
			t.Error(err)
		}
		if n := server.Count("connection.open"); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestRepublishManyAtOnce(t *testing.T) {
	const workers, each = 30, 20
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		server.Inject(brokertest.OnMethod("basic.publish", workers*each/2), brokertest.Reset())
		var work sync.WaitGroup
		for w := range workers {
			work.Go(func() {
				for i := range each {
					if err := r.park(t.Context(), delivered(fmt.Sprint(w, i)), "parked", itFailed); err != nil {
						t.Errorf("%d %d: %v", w, i, err)
					}
				}
			})
		}
		work.Wait()
		seen := map[string]bool{}
		for _, m := range server.Messages("parked") {
			seen[string(m.Body)] = true
		}
		if len(seen) != workers*each {
			t.Errorf("%d of %d are there", len(seen), workers*each)
		}
		if n := server.Count("connection.open"); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})
}

// Under an alarm the broker reads in the end what was sent meanwhile. So no more than one message of each
// worker is.
func TestRepublishUnderAnAlarm(t *testing.T) {
	republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
		declareIn(t, server, "parked", nil)
		server.Alarm("low on disk")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := r.park(ctx, delivered("1"), "parked", itFailed)
		if !errors.Is(err, errAlarm) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the first: %v", err)
		}
		if d := elapsed(func() { err = r.park(t.Context(), delivered("2"), "parked", itFailed) }); d != 0 || !errors.Is(err, errAlarm) {
			t.Errorf("the second: %v after %v", err, d)
		}
		server.ClearAlarm()
		synctest.Wait()
		if err := r.park(t.Context(), delivered("3"), "parked", itFailed); err != nil {
			t.Errorf("after the alarm: %v", err)
		}
		wantBodies(t, server, "parked", "1", "3")
	})
}

func TestRepublisherCloses(t *testing.T) {
	t.Run("unused", func(t *testing.T) {
		republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
			r.close(t.Context())
			if err := r.park(t.Context(), delivered("x"), "parked", itFailed); !errors.Is(err, errNotRepublishing) {
				t.Errorf("after close: %v", err)
			}
			if n := server.Count("connection.open"); n != 0 {
				t.Errorf("%d connections", n)
			}
		})
	})
	t.Run("used", func(t *testing.T) {
		republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
			if err := r.park(t.Context(), delivered("x"), "parked", itFailed); err != nil {
				t.Fatal(err)
			}
			r.close(t.Context())
			synctest.Wait()
			if n := server.Count("connection.close"); n != 1 || len(server.Connections()) != 0 {
				t.Errorf("%d said goodbye, %+v are left", n, server.Connections())
			}
		})
	})
	for name, method := range map[string]string{
		"opening": "connection.open", "declaring": "queue.declare", "publishing": "basic.ack",
	} {
		t.Run(name, func(t *testing.T) {
			republishing(t, func(t *testing.T, server *brokertest.Server, r *republisher) {
				server.Inject(brokertest.OnMethod(method, 1), brokertest.Drop())
				failed := make(chan error, 1)
				go func() { failed <- r.park(t.Context(), delivered("x"), "parked", itFailed) }()
				synctest.Wait()
				if d := elapsed(func() { r.close(t.Context()) }); d != 0 {
					t.Errorf("close took %v", d)
				}
				if err := <-failed; err == nil {
					t.Error("what was under way returned nil")
				}
			})
		})
	}
}
