package brokertest

import (
	"testing"

	"github.com/everhop/everhop/broker/internal/wire"
)

// What is published with one write is confirmed with one frame; a nack, and what else is answered, comes behind what was
// confirmed before it.
func TestBatchConfirms(t *testing.T) {
	s := NewServer(t, BatchConfirms())
	ok(t, s.DeclareQueue("q", map[string]any{"x-max-length": 2, "x-overflow": "reject-publish"}))
	p := join(t, s)
	p.send(1, &wire.ConfirmSelect{})
	want[*wire.ConfirmSelectOK](p)
	publish := func(n int) (frames []byte) {
		for range n {
			frames = append(frames, content(1, &wire.BasicPublish{RoutingKey: "q"}, "body")...)
		}
		return frames
	}
	wantAck := func(tag uint64, multiple bool) {
		t.Helper()
		if got := want[*wire.BasicAck](p); got.DeliveryTag != tag || got.Multiple != multiple {
			t.Errorf("got %+v, want %d, multiple %t", got, tag, multiple)
		}
	}
	p.write(publish(3))
	wantAck(2, true)
	if got := want[*wire.BasicNack](p); got.DeliveryTag != 3 || got.Multiple {
		t.Errorf("got %+v", got)
	}
	p.send(1, &wire.QueuePurge{Queue: "q"})
	want[*wire.QueuePurgeOK](p)
	p.write(append(publish(2), methodFrame(1, &wire.QueuePurge{Queue: "q"})...))
	wantAck(5, true)
	want[*wire.QueuePurgeOK](p)
	p.write(publish(1))
	wantAck(6, false)
	s.WithholdConfirms("q")
	p.write(publish(1))
	p.sync(1)
	s.ReleaseConfirms("q")
	wantAck(7, false)
	s.SuspendQueue("q")
	s.host("").queues["q"].maxLength = unlimited
	p.write(append(methodFrame(1, &wire.QueuePurge{Queue: "q"}), publish(2)...))
	p.channel(2)
	s.ResumeQueue("q")
	want[*wire.QueuePurgeOK](p)
	wantAck(9, true)
}
