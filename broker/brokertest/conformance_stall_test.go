package brokertest_test

import (
	"net"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/rabbittest"
)

// A client that takes nothing of what is delivered to it for half a minute finds its connection reset, also while it
// sends heartbeats.
func TestConformanceStall(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for name, start := range map[string]func(*testing.T) server{
		"rabbitmq": func(t *testing.T) server { return rabbit{rabbittest.Shared(t)} },
		"brokertest": func(t *testing.T) server {
			return double{brokertest.NewServer(t), versions.Newest()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, start(t))
			c.deadline = time.Now().Add(6 * patience)
			ch := c.channel()
			ch.durable(c.name)
			c.ok(ch.Confirm(false))
			for range 64 {
				ch.wantAck("", c.name, amqp.Publishing{Body: make([]byte, 256<<10)})
			}
			c.ok(c.first.Close())
			stalled(c)
		})
	}
}

func stalled(c *client) {
	w := c.wire()
	c.ok(w.Conn.(*net.TCPConn).SetReadBuffer(4 << 10))
	const beat = 10
	w.open(2047, 131072, beat)
	w.openChannel(1)
	w.method(1, 60, 20, uint16(0), c.name, "tag", byte(2), uint32(0)) // basic.consume with no-ack
	start := time.Now()
	for time.Since(start) < 4*patience {
		if _, err := w.Write(frame(frameHeartbeat, 0)); err != nil {
			if took := time.Since(start); took < 29*time.Second {
				c.Errorf("dropped after %v: %v", took, err)
			}
			return
		}
		select {
		case <-time.After(time.Second):
		case <-c.Context().Done():
		}
	}
	c.Error("it was not dropped")
}
