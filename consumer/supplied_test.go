package consumer_test

import (
	"context"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

// A function of the caller's that panics, ends its goroutine or returns nothing costs an attempt each time,
// and an event says what it was.
func TestSuppliedFunctionsThatMisbehave(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var dials, logins atomic.Int32
	r.config.ReviveBackoff.Initial = time.Millisecond
	r.config.Credentials = func(context.Context) (broker.Credentials, error) {
		switch logins.Add(1) {
		case 1:
			panic("no vault")
		case 2:
			runtime.Goexit()
		case 3:
			return broker.Credentials{}, nil
		}
		return broker.NewCredentials("guest", "guest"), nil
	}
	r.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		switch dials.Add(1) {
		case 1:
			panic("no tunnel")
		case 2:
			runtime.Goexit()
		case 3:
			return nil, nil
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	r.start()
	r.publish(1)
	r.awaitHandled()
	r.stop()

	var failures []string
	for _, e := range r.journal.Events() {
		if e.Trigger == consumer.ReviveFailed || e.Trigger == consumer.ConnectionError {
			failures = append(failures, e.Error)
		}
	}
	said := strings.Join(failures, "\n")
	for _, want := range []string{
		"Credentials panicked: no vault (github.com/everhop/everhop/consumer_test.TestSuppliedFunctionsThatMisbehave",
		"Credentials ended its goroutine", "the user name is empty",
		"Dial panicked: no tunnel", "Dial ended its goroutine", "Dial returned neither a connection nor an error",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no event says %q:\n%s", want, said)
		}
	}
}
