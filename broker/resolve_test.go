package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

// directory is what names stand for, and how often it was asked.
type directory struct {
	names map[string][]string
	delay time.Duration
	asked atomic.Int32
}

func (d *directory) lookup(ctx context.Context, _, host string) ([]netip.Addr, error) {
	d.asked.Add(1)
	select {
	case <-time.After(d.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var addresses []netip.Addr
	for _, text := range d.names[host] {
		addresses = append(addresses, netip.MustParseAddr(text))
	}
	return addresses, nil
}

func (d *directory) plan(n *network, hosts ...string) Plan {
	plan := n.plan(hosts...)
	plan.resolver = newResolver(d.lookup)
	return plan
}

// connected connects, and tells to which address.
func connected(t *testing.T, p *Plan) string {
	t.Helper()
	l, err := p.connect(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	l.abort()
	return l.address.String()
}

func TestConnectTriesAllAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.put(t, "10.0.0.1", refusing)
		n.put(t, "10.0.0.2", mute)
		n.hosts["[fd00::1]"] = lost
		n.put(t, "10.0.0.3")
		d := &directory{names: map[string][]string{"rabbit": {"10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"}}}
		plan := d.plan(n, "rabbit")
		l, err := plan.connect(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer l.abort()
		n.expect(t, "10.0.0.1:1@0s", "[fd00::1]:1@0s", "10.0.0.2:1@300ms", "10.0.0.3:1@600ms")
		if l.endpoint != plan.Endpoints[0] || l.endpoint.String() != "rabbit:1" {
			t.Errorf("connected to %v", l.endpoint)
		}
	})
}

// No endpoint waits for the addresses of another one.
func TestConnectGivesEachEndpointItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		for _, host := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1", "10.0.1.2"} {
			n.hosts[host] = lost
		}
		n.put(t, "10.0.1.2")
		d := &directory{names: map[string][]string{
			"a": {"10.0.0.1", "10.0.0.2", "10.0.0.3"},
			"b": {"10.0.1.1", "10.0.1.2"},
		}}
		plan := d.plan(n, "a", "b")
		connected(t, &plan)
		n.expect(t, "10.0.0.1:1@0s", "10.0.1.1:1@300ms", "10.0.0.2:1@600ms", "10.0.0.3:1@900ms", "10.0.1.2:1@1.2s")
	})
}

func TestConnectTriesWhatFailedLastAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.put(t, "10.0.0.1", refusing)
		n.put(t, "10.0.0.2", mute)
		n.put(t, "10.0.0.3")
		d := &directory{names: map[string][]string{"rabbit": {"10.0.0.1", "10.0.0.2", "10.0.0.3"}}}
		plan := d.plan(n, "rabbit")
		connected(t, &plan)
		n.dials, n.begin = nil, time.Now()
		if won := connected(t, &plan); won != "10.0.0.3" {
			t.Errorf("%s won", won)
		}
		n.expect(t, "10.0.0.3:1@0s")
	})
}

// It may win with its second dial, when the first was swallowed.
func TestAnAddressThatWinsIsNotTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.put(t, "10.0.0.1", func(s *brokertest.Server) {
			s.Inject(brokertest.OnConnect(1), brokertest.Freeze(brokertest.ToClient))
		})
		n.hosts["10.0.0.2"] = lost
		d := &directory{names: map[string][]string{"rabbit": {"10.0.0.1", "10.0.0.2"}}}
		plan := d.plan(n, "rabbit")
		connected(t, &plan)
		n.expect(t, "10.0.0.1:1@0s", "10.0.0.2:1@300ms", "10.0.0.1:1@1.3s")
		n.dials, n.begin = nil, time.Now()
		connected(t, &plan)
		n.expect(t, "10.0.0.1:1@0s")
	})
}

func TestAnAddressOfWhichTheConnectionBrokeIsTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		first := n.put(t, "10.0.0.1")
		n.put(t, "10.0.0.2")
		d := &directory{names: map[string][]string{"rabbit": {"10.0.0.1", "10.0.0.2"}}}
		plan := d.plan(n, "rabbit")
		s := begin(t, plan)
		first.Inject(brokertest.Now(), brokertest.Reset())
		loss := <-s.Losses()
		if got := loss.Err.Error(); !strings.Contains(got, "rabbit:1") || !strings.Contains(got, "10.0.0.1") {
			t.Errorf("%q names not both host and address", got)
		}
		if won := connected(t, &plan); won != "10.0.0.2" {
			t.Errorf("%s is tried first", won)
		}
	})
}

func TestASilentAddressIsTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		first := n.put(t, "10.0.0.1")
		n.put(t, "10.0.0.2")
		d := &directory{names: map[string][]string{"rabbit": {"10.0.0.1", "10.0.0.2"}}}
		plan := d.plan(n, "rabbit")
		s := begin(t, plan)
		first.Inject(brokertest.Now(), brokertest.Freeze(brokertest.Both))
		if err := s.Probe(t.Context()); err == nil {
			t.Fatal("a frozen broker was found alive")
		}
		if won := connected(t, &plan); won != "10.0.0.2" {
			t.Errorf("%s is tried first", won)
		}
	})
}

func TestConnectNamesTheAddressThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.put(t, "10.0.0.1", refusing)
		d := &directory{names: map[string][]string{"rabbit": {"10.0.0.1"}}}
		plan := d.plan(n, "rabbit", "nobody")
		_, err := plan.connect(t.Context(), 0)
		var e *Error
		if !errors.As(err, &e) || e.Error() != "broker: dial at rabbit:1: connect: connection refused (10.0.0.1)" || e.Address != "10.0.0.1" {
			t.Errorf("got %v", err)
		}
		_, err = plan.connect(t.Context(), 1)
		if !errors.As(err, &e) || e.Error() != "broker: resolve at nobody:1: lookup nobody: no addresses" || e.Class != Network {
			t.Errorf("got %v", err)
		}
	})
}

func TestNamesAreLookedUpOnceASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.put(t, "10.0.0.1")
		d := &directory{names: map[string][]string{"rabbit": {"10.0.0.1"}}}
		plan := d.plan(n, "rabbit")
		for range 20 {
			connected(t, &plan)
			time.Sleep(200 * time.Millisecond)
		}
		if asked := d.asked.Load(); asked != 4 {
			t.Errorf("asked %d times within 4 s", asked)
		}
		n.put(t, "10.0.0.2")
		d.names = map[string][]string{"rabbit": {"10.0.0.2"}}
		time.Sleep(time.Second)
		if won := connected(t, &plan); won != "10.0.0.2" {
			t.Errorf("connected to %s, which has moved", won)
		}
	})
}

func TestConnectDoesNotWaitForASlowLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.put(t, "10.0.0.1")
		d := &directory{names: map[string][]string{"rabbit": {"10.0.0.1"}}, delay: time.Hour}
		plan := d.plan(n, "rabbit", "10.0.0.1")
		connected(t, &plan)
		n.expect(t, "10.0.0.1:1@300ms")
		time.Sleep(lookupTimeout)

		d = &directory{names: d.names, delay: 2 * time.Second}
		n.dials, n.begin = nil, time.Now()
		plan = d.plan(n, "rabbit")
		connected(t, &plan)
		n.expect(t, "10.0.0.1:1@2s")
		if asked := d.asked.Load(); asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestDialOfTheCallersGetsNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.put(t, "rabbit")
		plan := n.plan("rabbit")
		l, err := plan.connect(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		l.abort()
		n.expect(t, "rabbit:1@0s")
	})
}

func TestInTurn(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"1.0.0.1", "1.0.0.1"},
		{"::1 1.0.0.1", "::1 1.0.0.1"},
		{"::1 ::2 ::3 1.0.0.1", "::1 1.0.0.1 ::2 ::3"},
		{"1.0.0.1 1.0.0.2 ::1 ::2", "1.0.0.1 ::1 1.0.0.2 ::2"},
		{"1.0.0.1 ::ffff:1.0.0.1 1.0.0.1", "1.0.0.1"},
	}
	for _, test := range tests {
		var in []netip.Addr
		for _, text := range strings.Fields(test.in) {
			in = append(in, netip.MustParseAddr(text))
		}
		if got := strings.Trim(fmt.Sprint(inTurn(in)), "[]"); got != test.want {
			t.Errorf("%s: got %s, want %s", test.in, got, test.want)
		}
	}
}

// On a real network: two addresses refuse, one takes connections and says nothing, one works.
func TestConnectToLoopbackAddresses(t *testing.T) {
	server := brokertest.NewServer(t)
	_, port, _ := net.SplitHostPort(server.Addr())
	silent, err := net.Listen("tcp", net.JoinHostPort("127.0.0.3", port))
	if err != nil {
		t.Skipf("there is no 127.0.0.3 here: %v", err)
	}
	defer silent.Close()
	endpoints, err := ParseEndpoints("amqp://rabbit:" + port)
	if err != nil {
		t.Fatal(err)
	}
	d := &directory{names: map[string][]string{"rabbit": {"::1", "127.0.0.2", "127.0.0.3", "127.0.0.1"}}}
	plan := Plan{Endpoints: endpoints, resolver: newResolver(d.lookup), ConnectTimeout: 30 * time.Second}.withDefaults()
	for range 2 {
		if won := connected(t, &plan); won != "127.0.0.1" {
			t.Errorf("%s won", won)
		}
	}
}

// The system's resolver knows localhost everywhere, mostly by two addresses.
func TestConnectToLocalhost(t *testing.T) {
	server := brokertest.NewServer(t)
	_, port, _ := net.SplitHostPort(server.Addr())
	endpoints, err := ParseEndpoints("amqp://localhost:" + port)
	if err != nil {
		t.Fatal(err)
	}
	plan := Plan{Endpoints: endpoints, ConnectTimeout: 30 * time.Second}.withDefaults()
	if won := connected(t, &plan); won != "127.0.0.1" {
		t.Errorf("%s won", won)
	}
}

func TestTheServerNameIsTheHosts(t *testing.T) {
	e, err := ParseEndpoint("amqps://rabbit")
	if err != nil {
		t.Fatal(err)
	}
	if name := hardened(nil, e).ServerName; name != "rabbit" {
		t.Errorf("it is %q", name)
	}
}

func TestFailedAddressesAreForgottenWithTheirName(t *testing.T) {
	address := netip.MustParseAddr
	d := &directory{names: map[string][]string{"rabbit": {"10.0.0.1"}}}
	r := newResolver(d.lookup)
	if _, err := r.resolve(t.Context(), "rabbit"); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		r.fail("rabbit", netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}))
	}
	r.fail("rabbit", address("10.0.0.1"))
	if got := r.names["rabbit"].failed; !slices.Equal(got, []netip.Addr{address("10.0.0.1")}) {
		t.Errorf("remembered: %v", got)
	}
}
