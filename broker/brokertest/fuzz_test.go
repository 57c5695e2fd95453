package brokertest

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

// FuzzConnection writes anything behind a login. The server may end the connection, but goes on for others.
func FuzzConnection(f *testing.F) {
	open := methodFrame(1, &wire.ChannelOpen{})
	declare := func(name string, arguments wire.Table) []byte {
		return methodFrame(1, &wire.QueueDeclare{Queue: name, Durable: true, Arguments: arguments})
	}
	f.Add(slices.Concat(open, content(1, &wire.BasicPublish{RoutingKey: "q"}, "body")))
	f.Add(slices.Concat(open, methodFrame(1, &wire.TxSelect{}), content(1, &wire.BasicPublish{RoutingKey: "q"}, "body"), methodFrame(1, &wire.TxCommit{})))
	f.Add(slices.Concat(open, methodFrame(1, &wire.BasicConsume{Queue: "q"}), methodFrame(1, &wire.BasicNack{DeliveryTag: 1, Requeue: true})))
	f.Add(slices.Concat(open, declare("s", wire.Table{"x-queue-type": "stream", "x-max-age": "1D"}), methodFrame(1, &wire.BasicQos{PrefetchCount: 1}),
		methodFrame(1, &wire.BasicConsume{Queue: "s", Arguments: wire.Table{"x-stream-offset": int64(-1)}})))
	f.Add(slices.Concat(open, declare("p", wire.Table{"x-max-priority": int32(3), "x-max-length-bytes": int64(9), "x-message-ttl": int64(0)}),
		content(1, &wire.BasicPublish{RoutingKey: "p"}, "body")))
	f.Add([]byte("\x01\x00\x01\xff\xff\xff\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, frames []byte) {
		s := NewInMemoryServer(t, IgnoreUnknown(), BatchConfirms())
		ok(t, s.DeclareQueue("q", map[string]any{"x-max-length": 10}))
		ok(t, s.Publish("q", "1", "2"))
		p := greet(t, s, 0, able)
		go func() {
			_, _ = p.Write(frames) // it may hang up meanwhile
			_, _ = p.Write(methodFrame(0, &wire.ConnectionClose{}))
			time.Sleep(time.Millisecond)
			p.Close()
		}()
		drain(p.Conn)
		other := join(t, s)
		other.sync(1)
	})
}

func drain(conn net.Conn) {
	buffer := make([]byte, 1<<10)
	for {
		if _, err := conn.Read(buffer); err != nil {
			return
		}
	}
}

// FuzzTransaction has a channel do, in some order, what a transaction is about. Whatever is in the queue, in the hands of
// the client, or acknowledged in the end is what a simple book says.
func FuzzTransaction(f *testing.F) {
	f.Add([]byte("ppcggaarc"))
	f.Add([]byte("ppprpcgacgnrgqc"))
	f.Add([]byte("pcgArgAc"))
	f.Add([]byte("ppcgGanc"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		if len(steps) > 200 {
			t.Skip("longer than it needs to be")
		}
		s := NewInMemoryServer(t)
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		p.send(1, &wire.TxSelect{})
		want[*wire.TxSelectOK](p)
		var book book
		for _, step := range steps {
			switch step {
			case 'p':
				book.published++
				p.publish(1, "q", fmt.Sprint(book.published))
			case 'g':
				p.send(1, &wire.BasicGet{Queue: "q"})
				if book.ready > 0 {
					want[*wire.BasicGetOK](p)
					p.body()
					book.tag++
					book.ready--
					book.open = append(book.open, book.tag)
				} else {
					want[*wire.BasicGetEmpty](p)
				}
			case 'a', 'n', 'q', 'A': // the oldest one is acknowledged, dropped or put back, or all are acknowledged
				if len(book.open) == 0 {
					continue
				}
				n, tag := 1, book.open[0]
				switch step {
				case 'a':
					p.send(1, &wire.BasicAck{DeliveryTag: tag})
				case 'n':
					p.send(1, &wire.BasicNack{DeliveryTag: tag})
				case 'q':
					p.send(1, &wire.BasicReject{DeliveryTag: tag, Requeue: true})
					book.back++
				case 'A':
					n = len(book.open)
					p.send(1, &wire.BasicAck{Multiple: true})
				}
				book.settled = append(book.settled, book.open[:n]...)
				book.open = book.open[n:]
			case 'c':
				p.send(1, &wire.TxCommit{})
				want[*wire.TxCommitOK](p)
				book.ready += book.published + book.back
				book.published, book.back, book.settled = 0, 0, nil
			case 'r':
				p.send(1, &wire.TxRollback{})
				want[*wire.TxRollbackOK](p)
				book.open = append(book.settled, book.open...)
				book.published, book.back, book.settled = 0, 0, nil
			}
		}
		p.sync(1)
		q := stateOf(t, s, "q")
		if q.Ready != book.ready || q.Unacknowledged != len(book.open)+len(book.settled) {
			t.Errorf("%q: %d are ready and %d are not acknowledged, want %+v", steps, q.Ready, q.Unacknowledged, book)
		}
		p.Close()
		await(t, s, "all are back", func() bool { return stateOf(t, s, "q").Ready == book.ready+len(book.open)+len(book.settled) })
	})
}

// book is what a channel has done with one queue.
type book struct {
	ready     int
	tag       uint64
	open      []uint64 // delivered, and not settled
	published int      // since the last commit or rollback
	settled   []uint64
	back      int // of those settled, to be put back
}
