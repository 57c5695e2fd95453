package broker_test

import (
	"crypto/tls"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
)

// A URL that leads to the wrong place says so, and which is the right one.
func TestHint(t *testing.T) {
	server := brokertest.NewServer(t)
	web, secure := httptest.NewServer(nil), alerting(t)
	defer web.Close()
	plain := strings.TrimPrefix(web.URL, "http://")
	tests := []struct {
		url, want string
		class     broker.Class
	}{
		{"amqps://" + server.Addr(), broker.HintPlainPort, broker.TLS},
		{"amqps://" + plain, broker.HintHTTPPort, broker.TLS},
		{"amqp://" + secure, broker.HintTLSPort, broker.TLS},
		{"amqp://nosuch.invalid", broker.HintName, broker.Network},
		{server.URL() + "nosuch", "", broker.VHost},
	}
	for _, tt := range tests {
		endpoints, err := broker.ParseEndpoints(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		_, err = broker.Open(t.Context(), broker.Plan{Endpoints: endpoints}, 1, 0)
		if class, _ := broker.Classify(err); broker.Hint(err) != tt.want || class != tt.class {
			t.Errorf("%s: %q, %v (%s)", tt.url, broker.Hint(err), err, class)
		}
	}
}

// alerting is a port that answers what is not TLS as Erlang does, by an alert.
func alerting(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, len("AMQP\x00\x00\x09\x01")))
			_, _ = conn.Write([]byte{0x15, tls.VersionTLS12 >> 8, tls.VersionTLS12 & 0xff, 0, 2, 2, 10})
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-ended
	})
	return listener.Addr().String()
}

// A queue that is consumed as a stream and is none.
func TestHintOfAnotherType(t *testing.T) {
	endpoints, err := broker.ParseEndpoints(rabbittest.Shared(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]string{"classic": broker.HintNoStream, "quorum": broker.HintNoStream, "stream": ""} {
		declare := &broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": kind}}
		s, err := broker.Open(t.Context(), broker.Plan{Endpoints: endpoints, Subscriptions: []broker.Subscription{
			{Queue: "hint." + kind, Declare: declare, Prefetch: 1, Arguments: map[string]any{"x-stream-offset": "first"}},
		}}, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Consume(t.Context(), 0, broker.Intake{})
		s.Abort()
		if got := broker.Hint(err); got != want {
			t.Errorf("%s: %q, %v", kind, got, err)
		}
	}
}
