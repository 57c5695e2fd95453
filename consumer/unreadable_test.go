package consumer

import (
	"bytes"
	"context"
	"net"
	"strings"
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
		{"too large to be parked", brokertest.Message{Body: []byte(large)}, nil, Park, "q", "handled again"},
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
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- c.Run(ctx) }()
				synctest.Wait()
				if err := server.Publish("beside", "beside"); err != nil {
					t.Fatal(err)
				}
				if body := <-handled; body != "beside" {
					t.Errorf("handled %.20q", body)
				}
				if test.in != "q" { // else it keeps the only worker for the pause
					if err := server.Publish("q", "behind"); err != nil {
						t.Fatal(err)
					}
					if body := <-handled; body != "behind" {
						t.Errorf("handled %.20q", body)
					}
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
