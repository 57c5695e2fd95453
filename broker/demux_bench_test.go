package broker

import (
	"testing"

	"github.com/everhop/everhop/broker/internal/wire"
)

// BenchmarkDemux is what a delivery costs from the buffer to its receiver, without the socket.
func BenchmarkDemux(b *testing.B) {
	const messages = 180 // what one read brings
	var stream []byte
	for i := range messages {
		m := &wire.BasicDeliver{ConsumerTag: "consumer.test#0", DeliveryTag: uint64(i), RoutingKey: "throughput.1"}
		stream = wire.AppendContent(stream, 1, m, wire.Header{Properties: wire.Properties{DeliveryMode: 2}}, make([]byte, 256), 0)
	}
	source := &feed{cut: whole}
	d := newDemux(source)
	in := opened(d, 1<<20, 1)[0].inbox
	in.setOpen(true)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%messages == 0 {
			source.left = stream
			for len(source.left) > 0 {
				d.fill()
				for d.advance() {
				}
			}
			d.publish()
		}
		in.take(nil)
	}
}
