package consumer_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// blockable is a connection on which the broker can seem to be blocked: RabbitMQ does that only to
// connections that publish, and a consumer's never does. It reads frame by frame, inserts
// connection.blocked or unblocked behind a frame, and in between lets nothing pass but heartbeats.
type blockable struct {
	net.Conn
	want    *atomic.Bool
	blocked bool
	frames  *bufio.Reader
	buffer  bytes.Buffer
}

const methodFrame = 1

func (b *blockable) Read(p []byte) (int, error) {
	for b.buffer.Len() == 0 {
		head := make([]byte, 7)
		if _, err := io.ReadFull(b.frames, head); err != nil {
			return 0, err
		}
		rest := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
		if _, err := io.ReadFull(b.frames, rest); err != nil {
			return 0, err
		}
		if !b.blocked || head[0] != methodFrame {
			b.buffer.Write(head)
			b.buffer.Write(rest)
		}
		if want := b.want.Load(); want != b.blocked {
			b.blocked = want
			method := []byte{0, 10, 0, 61} // connection.unblocked
			if want {
				method = []byte{0, 10, 0, 60, 2, 'l', 'o'} // connection.blocked, and the reason
			}
			b.buffer.Write([]byte{methodFrame, 0, 0, 0, 0, 0, byte(len(method))})
			b.buffer.Write(method)
			b.buffer.WriteByte(0xCE)
		}
	}
	return b.buffer.Read(p)
}

// While the broker says that it does not read, it is not probed: its heartbeats tell that it lives.
func TestBlockedConnectionIsNotProbed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var blocked atomic.Bool
	r.config.Heartbeat = 4 * time.Second // it sends one every 2 s
	r.config.DrainTimeout, r.config.ProbeTimeout = 500*time.Millisecond, 4*time.Second
	r.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &blockable{Conn: c, want: &blocked, frames: bufio.NewReader(c)}, nil
	}
	r.start()
	r.awaitState(consumer.Consuming)
	blocked.Store(true)
	r.await("connection.blocked", func() bool { return strings.Contains(r.log.String(), "connection.blocked: lo") })
	r.awaitState(consumer.Consuming)
	n := r.events()
	<-time.After(3 * (r.config.DrainTimeout + r.config.ProbeTimeout)) // long enough to be declared dead three times
	for _, e := range r.journal.Events()[n:] {
		if e.Kind == fsm.KindTransition && e.Trigger != consumer.HeartbeatOK {
			t.Errorf("while blocked: %s", e.Trigger)
		}
	}
	n = r.events()
	blocked.Store(false)
	r.await("connection.unblocked", func() bool { return strings.Contains(r.log.String(), "connection.unblocked") })
	r.awaitEvent(n, consumer.HeartbeatOK)
	r.flows()
	r.stop()
}
