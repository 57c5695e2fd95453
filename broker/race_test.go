package broker

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// counted counts how many connections are open at once.
type counted struct {
	net.Conn
	open *atomic.Int32
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

func TestSlowHandshakesAreNotMultiplied(t *testing.T) {
	tests := []struct {
		name    string
		trouble trouble
		timeout time.Duration
		want    []string
	}{
		{"it sends a byte now and then", func(s *brokertest.Server) {
			for nth := range 20 {
				s.Inject(brokertest.OnConnect(nth+1), brokertest.Drip(time.Second/2))
			}
		}, 9 * time.Second, []string{"a:1@0s", "a:1@1s"}},
		// One of the two is always the newest, for a broker that has thawed.
		{"it says nothing", func(s *brokertest.Server) {
			for nth := range 20 {
				s.Inject(brokertest.OnConnect(nth+1), brokertest.Freeze(brokertest.ToClient))
			}
		}, 30 * time.Second, []string{"a:1@0s", "a:1@1s", "a:1@3s", "a:1@7s", "a:1@11s", "a:1@15s", "a:1@19s", "a:1@23s", "a:1@27s"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				server := n.put(t, "a", test.trouble)
				var open, most atomic.Int32
				n.hosts["a"] = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := server.Dial(ctx, network, address)
					if now := open.Add(1); now > most.Load() {
						most.Store(now)
					}
					return &counted{Conn: c, open: &open}, err
				}
				plan := n.plan("a")
				plan.ConnectTimeout = test.timeout
				_, err := plan.connect(t.Context(), 0)
				if !errors.Is(err, errConnectTimeout) {
					t.Errorf("got %v", err)
				}
				n.expect(t, test.want...)
				if most.Load() > maxDials {
					t.Errorf("%d connections at once", most.Load())
				}
				synctest.Wait()
				if open.Load() != 0 {
					t.Errorf("%d connections are left", open.Load())
				}
			})
		})
	}
}

// The first dial is given all the time that there is. RabbitMQ itself ends a handshake after 10 s.
func TestConnectReachesASlowBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.put(t, "a", func(s *brokertest.Server) {
			for nth := range 20 {
				s.Inject(brokertest.OnConnect(nth+1), brokertest.Delay(3100*time.Millisecond))
			}
		})
		plan := n.plan("a")
		plan.ConnectTimeout = 10 * time.Second
		l, err := plan.connect(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		l.abort()
	})
}

func TestConnectionTimeoutOfAURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.put(t, "a", mute)
		plan := n.plan("a")
		plan.Endpoints[0].connectionTimeout = 700 * time.Millisecond
		var err error
		if d := took(func() { _, err = plan.connect(t.Context(), 0) }); d != 700*time.Millisecond {
			t.Errorf("gave up after %v", d)
		}
		wantError(t, err, Network, ScopeConnection)
		if !errors.Is(err, errConnectionTimeout) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhatAURLAsksFor(t *testing.T) {
	e, err := ParseEndpoint("amqp://h?heartbeat=23&connection_timeout=12345&channel_max=7")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name           string
		plan           Plan
		heartbeat      time.Duration
		connectTimeout time.Duration
	}{
		{"the URL's", Plan{Endpoints: []Endpoint{{}, e}}, 23 * time.Second, 12345 * time.Millisecond},
		{"the plan's", Plan{Endpoints: []Endpoint{{}, e}, Heartbeat: time.Second, ConnectTimeout: time.Minute}, time.Second, time.Minute},
	}
	for _, test := range tests {
		plan := test.plan.withDefaults()
		c := plan.config(e, Credentials{})
		if c.Heartbeat != test.heartbeat || plan.ConnectTimeout != test.connectTimeout || c.ChannelMax != 7 {
			t.Errorf("%s: %v, %v, %d", test.name, c.Heartbeat, plan.ConnectTimeout, c.ChannelMax)
		}
	}
	plan := Plan{Endpoints: []Endpoint{{}}}.withDefaults()
	if c := plan.config(Endpoint{}, Credentials{}); c.Heartbeat != DefaultHeartbeat || plan.ConnectTimeout != DefaultConnectTimeout || c.ChannelMax != 0 {
		t.Errorf("nobody's: %v, %v, %d", c.Heartbeat, plan.ConnectTimeout, c.ChannelMax)
	}
}
