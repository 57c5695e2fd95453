package consumer

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/brokertest"
)

// unreadableConn is a connection over which a header of the name "faulty" comes in with a type that there is not.
type unreadableConn struct{ net.Conn }

func (c unreadableConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if at := bytes.Index(p[:n], []byte("\x06faultyS")); at >= 0 {
		p[at+len("\x06faulty")] = 'Z'
	}
	return n, err
}

// TestUnreadableHasNoName: the functions of the caller's that name a message are not asked about one that could not be
// read, neither when it is handled nor when it goes back unseen.
func TestUnreadableHasNoName(t *testing.T) {
	for _, test := range []struct {
		name       string
		redelivers bool // what could not be read
	}{{"delivered once", false}, {"delivered again", true}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				if err := server.DeclareQueue("q", nil); err != nil {
					t.Fatal(err)
				}
				var mu sync.Mutex
				asked := map[string]int{} // about what, by the name of the function
				name := func(function string) func(*Delivery) string {
					return func(d *Delivery) string {
						mu.Lock()
						defer mu.Unlock()
						if d.Unreadable != nil {
							t.Errorf("%s was asked about what could not be read", function)
						}
						asked[function]++
						return d.MessageID
					}
				}
				dials, handled, busy := 0, 0, make(chan struct{})
				c, err := New(Config{
					URLs: []string{server.URL()},
					Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
						raw, err := server.Dial(ctx, network, address)
						if dials++; err != nil || dials > 1 { // the republisher's
							return raw, err
						}
						return unreadableConn{raw}, nil
					},
					Subscriptions: []Subscription{{
						Queue: "q", OrderingKey: name("OrderingKey"), Dedup: Dedup{Window: 10, ID: name("Dedup.ID")},
						Handler: func(_ context.Context, d *Delivery) error {
							handled++
							if string(d.Body) == "busy" {
								<-busy
							}
							return nil
						},
					}},
				})
				if err != nil {
					t.Fatal(err)
				}
				publish := func(m brokertest.Message) {
					m.MessageID = string(m.Body)
					if err := server.PublishMessage("q", m); err != nil {
						t.Fatal(err)
					}
				}
				faulty := brokertest.Message{Body: []byte("faulty"), Headers: map[string]any{"faulty": "x"}}
				stop, ended := running(t, c)
				synctest.Wait()
				if test.redelivers {
					server.Inject(brokertest.OnMethod("basic.deliver", 1), brokertest.CloseChannel(406, "again"))
				}
				publish(faulty)
				publish(brokertest.Message{Body: []byte("behind")})
				time.Sleep(time.Minute)
				if n := len(server.Messages("q.parked")); n != 1 || handled != 1 {
					t.Errorf("%d parked, %d handled", n, handled)
				}
				publish(brokertest.Message{Body: []byte("busy")})
				publish(faulty) // is not begun with
				synctest.Wait()
				stop()
				synctest.Wait()
				close(busy)
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if n := len(server.Messages("q")); n != 1 || handled != 2 {
					t.Errorf("%d back in the queue, %d handled", n, handled)
				}
				if asked["OrderingKey"] != 2 || asked["Dedup.ID"] != 2 {
					t.Errorf("asked about what can be read: %v", asked)
				}
			})
		})
	}
}

// TestUnreadable: no handler is called for what cannot be read, the policy takes it, and what is behind it is handled.
func TestUnreadable(t *testing.T) {
	large := strings.Repeat("x", 200_000)
	deadLetter := map[string]any{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
	tests := []struct {
		name      string
		message   brokertest.Message
		arguments map[string]any // of the queue
		poison    Poison
		in        string // where it is in the end
		says      string // the log line
	}{
		{"parked", brokertest.Message{Headers: map[string]any{"faulty": "x"}}, nil, Park, "q.parked", "parked in q.parked"},
		{"dead-lettered", brokertest.Message{Headers: map[string]any{"faulty": "x"}}, deadLetter, DeadLetter, "dead", "dead-lettered"},
		{"too large, dead-lettered", brokertest.Message{Body: []byte(large)}, deadLetter, DeadLetter, "dead", "dead-lettered"},
		{"too large to be parked", brokertest.Message{Body: []byte(large)}, nil, Park, "q", "held back, unacknowledged, for 22m30s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				for queue, arguments := range map[string]map[string]any{"q": test.arguments, "dead": nil, "beside": nil} {
					if err := server.DeclareQueue(queue, arguments); err != nil {
						t.Fatal(err)
					}
				}
				test.message.MessageID = "unreadable"
				if err := server.PublishMessage("q", test.message); err != nil {
					t.Fatal(err)
				}
				var log bytes.Buffer
				handled := make(chan string, 10)
				dials := 0
				handler := func(_ context.Context, d *Delivery) error {
					handled <- string(d.Body)
					return nil
				}
				c, err := New(Config{
					URLs: []string{server.URL()}, Logger: zerolog.New(zerolog.SyncWriter(&log)), MaxMessageSize: 100_000,
					Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
						raw, err := server.Dial(ctx, network, address)
						if err != nil {
							return nil, err
						}
						if dials++; dials > 1 { // the republisher's
							return raw, nil
						}
						return unreadableConn{raw}, nil
					},
					Subscriptions: []Subscription{
						{Queue: "q", Handler: handler, Retry: Retry{Poison: test.poison}, RequeuePause: time.Hour},
						{Queue: "beside", Handler: handler},
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				stop, ended := running(t, c)
				synctest.Wait()
				if err := server.Publish("beside", "beside"); err != nil {
					t.Fatal(err)
				}
				if body := <-handled; body != "beside" {
					t.Errorf("handled %.20q", body)
				}
				if err := server.Publish("q", "behind"); err != nil {
					t.Fatal(err)
				}
				if body := <-handled; body != "behind" {
					t.Errorf("handled %.20q", body)
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				messages := server.Messages(test.in)
				if len(messages) != 1 || messages[0].MessageID != "unreadable" || !bytes.Equal(messages[0].Body, test.message.Body) {
					t.Fatalf("in %s: %d messages", test.in, len(messages))
				}
				if raw, _ := messages[0].Headers[HeaderRaw].([]byte); test.in == "q.parked" && !bytes.Contains(raw, []byte("faultyZ")) {
					t.Errorf("headers: %v", messages[0].Headers)
				}
				if text := log.String(); !strings.Contains(text, "the message could not be read; to be "+test.says) ||
					!strings.Contains(text, `"queue":"q"`) {
					t.Errorf("the log:\n%s", text)
				}
				if n := server.Count("connection.open"); n != dials || dials > 2 {
					t.Errorf("%d connections, %d dials", n, dials)
				}
				if len(handled) > 0 {
					t.Errorf("handled %.20q, too", <-handled)
				}
			})
		})
	}
}

// A message that can go nowhere is put back seldom, and takes no handler from others. It is back in its queue when the
// consumer stops.
func TestHeldBack(t *testing.T) {
	for name, message := range map[string]brokertest.Message{
		"too large":                {Body: make([]byte, 200_000)},
		"refused by the broker":    {Body: []byte("refused")},
		"headers that fit nowhere": {Headers: map[string]any{"own": strings.Repeat("x", 131_072)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				declareIn(t, server, "q", nil)
				declareIn(t, server, "q.parked", nil)
				if err := server.PublishMessage("q", message); err != nil {
					t.Fatal(err)
				}
				var log bytes.Buffer
				calls := 0
				c, err := New(Config{
					URLs: []string{server.URL()}, Dial: server.Dial, MaxMessageSize: 150_000,
					Logger: zerolog.New(zerolog.SyncWriter(&log)).Level(zerolog.ErrorLevel),
					Subscriptions: []Subscription{{Queue: "q", Retry: Retry{Attempts: 1}, Handler: func(_ context.Context, d *Delivery) error {
						if string(d.Body) == "other" {
							calls++
							return nil
						}
						return Permanent(errHandler)
					}}},
				})
				if err != nil {
					t.Fatal(err)
				}
				if name == "refused by the broker" {
					for n := range 40 {
						server.Inject(brokertest.OnMethod("basic.publish", n+1), brokertest.CloseChannel(406, "message size 7 is larger than configured max size 6"))
					}
				}
				stop, ended := running(t, c)
				for i := range 59 {
					time.Sleep(50 * time.Second) // in the bubble's time
					if err := server.Publish("q", "other"); err != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Second)
					synctest.Wait() // a worker may have been publishing it again, which is refused
					if calls != i+1 {
						t.Fatalf("after %d minutes the handler was called for %d others", i+1, calls)
					}
				}
				lines := strings.Count(log.String(), "\n")
				if n := c.Stats().Requeued; n != 2 || lines < 2 || lines > 12 {
					t.Errorf("put back %d times within an hour, and %d lines in the log:\n%s", n, lines, log.String())
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if got := server.Messages("q"); len(got) != 1 || !bytes.Equal(got[0].Body, message.Body) {
					t.Errorf("in the queue: %d messages", len(got))
				}
			})
		})
	}
}
