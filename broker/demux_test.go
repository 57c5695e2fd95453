package broker

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

// feed is a transport from which comes what is given, in pieces of the sizes that cut returns.
type feed struct {
	left []byte
	cut  func() int
	end  error // defaults to io.EOF
}

func (f *feed) Read(p []byte) (int, error) {
	most := f.cut()
	if len(f.left) == 0 {
		if f.end != nil {
			return 0, f.end
		}
		return 0, io.EOF
	}
	n := min(len(p), len(f.left), most)
	copy(p, f.left[:n])
	f.left = f.left[n:]
	return n, nil
}

func (*feed) Write(p []byte) (int, error) { return len(p), nil }
func (*feed) Close() error                { return nil }

func whole() int { return 1 << 30 }

// opened opens channels on a demux, as amqp091-go does.
func opened(d *demux, limit int64, channels ...uint16) []*route {
	var all []*route
	for _, number := range channels {
		r := newRoute(limit)
		_ = d.open(r, func() error {
			_, err := d.Write(method(nil, number, &wire.ChannelOpen{}))
			return err
		})
		all = append(all, r)
	}
	return all
}

func method(to []byte, channel uint16, m wire.Method) []byte {
	return wire.AppendFrame(to, wire.Frame{Type: wire.FrameMethod, Channel: channel, Payload: wire.AppendMethod(nil, m)})
}

// takenFrom takes what is in an inbox, without waiting.
func takenFrom(in *inbox) (all []*Delivery) {
	in.mu.Lock()
	defer in.mu.Unlock()
	all = append(all, in.waiting[in.taken:]...)
	in.waiting, in.taken = nil, 0
	return all
}

func message(to []byte, channel uint16, m wire.Method, body string) []byte {
	return wire.AppendContent(to, channel, m, wire.Header{Properties: wire.Properties{MessageID: body}}, []byte(body), 0)
}

// The end of a consumer stands behind the deliveries before it: at no moment does an inbox look closed that is
// still to be filled.
func TestDemuxClosesBehindDeliveries(t *testing.T) {
	for name, end := range map[string]wire.Method{
		"cancel":    &wire.BasicCancel{ConsumerTag: "tag"},
		"cancel-ok": &wire.BasicCancelOK{ConsumerTag: "tag"},
	} {
		t.Run(name, func(t *testing.T) {
			stream := method(nil, 1, &wire.BasicConsumeOK{ConsumerTag: "tag"})
			for tag := range uint64(3) {
				stream = message(stream, 1, &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: tag + 1}, "body")
			}
			stream = method(stream, 1, end)
			d := newDemux(&feed{left: stream, cut: whole})
			in := opened(d, 1<<20, 1)[0].inbox
			d.fill()
			for was := false; !was || in.open; was = was || in.open {
				d.start, d.passing = d.start+int(d.passing), 0 // amqp091-go has read its part
				if !d.advance() {
					t.Fatal("the consumer never ends")
				}
			}
			if n := len(takenFrom(in)); n != 3 {
				t.Errorf("it has ended, and %d deliveries are there; want 3", n)
			}
		})
	}
}

// TestDemuxCutAnywhere cuts a stream in two at each byte, and into single bytes.
func TestDemuxCutAnywhere(t *testing.T) {
	var stream, theirs []byte
	pass := func(frame []byte) { stream, theirs = append(stream, frame...), append(theirs, frame...) }
	pass(method(nil, 1, &wire.BasicConsumeOK{ConsumerTag: "tag"}))
	stream = message(stream, 1, &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 1}, "one")
	pass(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeartbeat}))
	pass(message(nil, 1, &wire.BasicReturn{ReplyText: "NO_ROUTE"}, "returned"))
	stream = message(stream, 1, &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 2}, "")
	pass(message(nil, 2, &wire.BasicDeliver{ConsumerTag: "other"}, "not ours"))
	stream = message(stream, 1, &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 3}, "three")
	pass(method(nil, 1, &wire.BasicCancelOK{ConsumerTag: "tag"}))

	for first := 0; first <= len(stream); first++ {
		cuts := []int{first, 1 << 30}
		d := newDemux(&feed{left: stream, cut: func() int {
			if first == 0 {
				return 1
			}
			n := cuts[0]
			cuts = cuts[len(cuts)-1:]
			return n
		}})
		opened(d, 1<<20, 1)
		passed := new(bytes.Buffer)
		if _, err := io.Copy(passed, iotest.OneByteReader(struct{ io.Reader }{d})); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(passed.Bytes(), theirs) {
			t.Fatalf("cut at %d, passed on % x, want % x", first, passed.Bytes(), theirs)
		}
		// The connection's end has dropped what was waiting, so it is looked at before that.
		d = newDemux(&feed{left: stream, cut: func() int { return max(first, 1) }})
		r := opened(d, 1<<20, 1)[0]
		var got []string
		for n := 0; n < len(theirs); {
			m, err := d.Read(make([]byte, 7))
			if err != nil {
				t.Fatal(err)
			}
			n += m
			for _, delivery := range takenFrom(r.inbox) {
				got = append(got, fmt.Sprint(delivery.DeliveryTag, string(delivery.Body), delivery.MessageID, n))
			}
		}
		if len(got) != 3 || r.inbox.open {
			t.Fatalf("cut every %d: got %v, open %v", first, got, r.inbox.open)
		}
	}
}

// TestDeliveryAllocations: the Delivery, the body and the message's id; of headers, the map (two), the text, and
// what holds each value.
func TestDeliveryAllocations(t *testing.T) {
	tests := []struct {
		name       string
		properties wire.Properties
		most       float64
	}{
		{"few properties", wire.Properties{ContentType: "application/json", DeliveryMode: 2, MessageID: "id"}, 3},
		{"most properties", wire.Properties{ContentType: "application/json", DeliveryMode: 2, MessageID: "id", Type: "t", AppID: "a",
			UserID: "u", Timestamp: time.Unix(1, 0), ReplyTo: "r", CorrelationID: "c"}, 4},
		{"a header", wire.Properties{MessageID: "id", Headers: wire.Table{"traceparent": "00-1-2-03"}}, 4 + 2 + 1},
		{"eight headers", wire.Properties{MessageID: "id", Headers: wire.Table{"a": "x", "b": "y", "c": int64(1000), "d": true, "e": "z",
			"f": 0.5, "g": time.Unix(1, 0), "h": "text"}}, 4 + 2 + 8},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			const messages = 100
			var stream []byte
			for i := range messages {
				m := &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: uint64(i), Exchange: "exchange", RoutingKey: "key"}
				stream = wire.AppendContent(stream, 1, m, wire.Header{Properties: test.properties}, []byte("body"), 0)
			}
			source := &feed{cut: whole}
			d := newDemux(source)
			in := opened(d, 1<<20, 1)[0].inbox
			in.setOpen(true)
			n := testing.AllocsPerRun(10, func() {
				source.left = stream
				for len(source.left) > 0 {
					d.fill()
					for d.advance() {
					}
				}
				d.publish()
				for range messages {
					in.take(nil)
				}
			}) / messages
			if n > test.most {
				t.Errorf("a message costs %v allocations, and %v are allowed", n, test.most)
			}
		})
	}
}
