package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

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

// drained takes what is in an inbox, without waiting.
func drained(in *inbox) (all []*Delivery) {
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
			if n := len(drained(in)); n != 3 {
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
			for _, delivery := range drained(r.inbox) {
				got = append(got, fmt.Sprint(delivery.DeliveryTag, string(delivery.Body), delivery.MessageID, n))
			}
		}
		if len(got) != 3 || r.inbox.open {
			t.Fatalf("cut every %d: got %v, open %v", first, got, r.inbox.open)
		}
	}
}

// seen is a delivery.
type seen struct {
	tag     uint64
	body    string
	headers int
}

// TestDemuxRandomStreams interleaves the frames of several channels, of all kinds, cuts them anywhere, and reads
// them in buffers of any size.
func TestDemuxRandomStreams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newStreamWriter(t)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			w.step()
		}
		for i := range w.frames {
			w.rest(i)
		}
		end := errors.New("reset")
		cut := rapid.SampledFrom([]int{1, 2, 7, 64, 1000, 1 << 20}).Draw(t, "cut")
		size := rapid.SampledFrom([]int{1, 3, 64, 4096, 1 << 18}).Draw(t, "reads")
		pieces := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "pieces"), 0))
		var routes []*route
		got := make([][]seen, len(w.ours))
		watch := func() {
			for i, r := range routes {
				for _, m := range drained(r.inbox) {
					got[i] = append(got[i], seen{tag: m.DeliveryTag, body: string(m.Body), headers: len(m.Headers)})
				}
			}
		}
		d := newDemux(&feed{left: w.stream, end: end, cut: func() int {
			watch() // all that has come in is in its inbox before there is a wait for more
			return 1 + pieces.IntN(cut)
		}})
		routes = opened(d, 1<<20, w.ours...)
		var passed []byte
		p := make([]byte, size)
		for {
			n, err := d.Read(p)
			passed = append(passed, p[:n]...)
			if err != nil {
				if err != end || n != 0 {
					t.Fatalf("%d bytes and %v at the end", n, err)
				}
				break
			}
		}
		if !bytes.Equal(passed, w.theirs) {
			t.Errorf("passed on %d bytes, want %d", len(passed), len(w.theirs))
		}
		for i := range routes {
			want := w.said[i]
			if cut > 1 { // the end drops what came in together with it
				want = want[:min(len(want), len(got[i]))]
			}
			if !slices.Equal(got[i], want) || len(got[i]) < len(w.said[i]) && !w.closed[i] {
				t.Errorf("channel %d: got %d of %d deliveries", w.ours[i], len(got[i]), len(w.said[i]))
			}
			if !routes[i].inbox.ended {
				t.Error("the inbox has not ended with the connection")
			}
		}
	})
}

// streamWriter writes what a broker may send: frames of different channels in any order, those of one in theirs.
type streamWriter struct {
	*rapid.T
	ours   []uint16
	others []uint16
	stream []byte
	theirs []byte
	said   [][]seen
	frames [][]frameOf // to come, by channel
	tags   uint64
	closed []bool
}

// frameOf is a frame, and what has been said when it is complete.
type frameOf struct {
	bytes []byte
	ours  bool
	said  *seen
}

func newStreamWriter(t *rapid.T) *streamWriter {
	w := &streamWriter{T: t, ours: []uint16{1, 3, 300}, others: []uint16{0, 2, 4}}
	w.said = make([][]seen, len(w.ours))
	w.frames = make([][]frameOf, len(w.ours)+len(w.others))
	w.closed = make([]bool, len(w.ours))
	return w
}

func (w *streamWriter) step() {
	i := rapid.IntRange(0, len(w.frames)-1).Draw(w.T, "channel")
	if len(w.frames[i]) == 0 {
		w.begin(i)
	}
	w.write(i)
}

// rest ends what has begun on a channel.
func (w *streamWriter) rest(i int) {
	for len(w.frames[i]) > 0 {
		w.write(i)
	}
}

func (w *streamWriter) write(i int) {
	f := w.frames[i][0]
	w.frames[i] = w.frames[i][1:]
	w.stream = append(w.stream, f.bytes...)
	if !f.ours {
		w.theirs = append(w.theirs, f.bytes...)
	}
	if f.said != nil {
		w.said[i] = append(w.said[i], *f.said)
	}
}

// begin draws what comes next on a channel.
func (w *streamWriter) begin(i int) {
	mine := i < len(w.ours) && !w.closed[min(i, len(w.ours)-1)]
	number := append(w.ours[:len(w.ours):len(w.ours)], w.others...)[i]
	if number == 0 {
		w.frames[i] = []frameOf{{bytes: wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeartbeat})}}
		return
	}
	w.tags++
	body := strings.Repeat("x", rapid.SampledFrom([]int{0, 0, 1, 100, 5000, 70_000, 200_000}).Draw(w.T, "body"))
	limit := rapid.SampledFrom([]uint32{4096, 9000, 131072}).Draw(w.T, "frame_max")
	headers := wire.Table{}
	for k := range rapid.SampledFrom([]int{0, 0, 1, 10, 6000}).Draw(w.T, "headers") {
		headers[fmt.Sprint("key", k)] = "some value"
	}
	h := wire.Header{Properties: wire.Properties{Headers: headers, DeliveryMode: 2}}
	kinds := []string{"deliver", "deliver", "deliver", "return", "get-ok", "interrupted", "cancel-ok", "ack", "close"}
	switch kind := rapid.SampledFrom(kinds).Draw(w.T, "kind"); kind {
	case "deliver", "interrupted":
		m := &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: w.tags, RoutingKey: fmt.Sprint(w.tags % 2)}
		frames := split(wire.AppendContent(nil, number, m, h, []byte(body), limit), mine)
		if kind == "interrupted" {
			frames = append(frames[:rapid.IntRange(1, len(frames)).Draw(w.T, "frames")],
				frameOf{bytes: method(nil, number, &wire.BasicCancel{ConsumerTag: "tag"})})
			if complete(frames, len(body)) { // it came too late
				frames[len(frames)-2].said = w.about(i, mine, body, headers)
			}
		} else {
			frames[len(frames)-1].said = w.about(i, mine, body, headers)
		}
		w.frames[i] = frames
	case "return":
		w.frames[i] = split(wire.AppendContent(nil, number, &wire.BasicReturn{ReplyText: "x"}, h, []byte(body), limit), false)
	case "get-ok":
		w.frames[i] = split(wire.AppendContent(nil, number, &wire.BasicGetOK{}, h, []byte(body), limit), false)
	case "cancel-ok":
		w.frames[i] = []frameOf{{bytes: method(nil, number, &wire.BasicCancelOK{ConsumerTag: "tag"})}}
	case "ack":
		w.frames[i] = []frameOf{{bytes: method(nil, number, &wire.BasicAck{DeliveryTag: 5})}}
	case "close":
		w.frames[i] = []frameOf{{bytes: method(nil, number, &wire.ChannelClose{ReplyCode: 404, ReplyText: "gone"})}}
		if mine {
			w.closed[i] = true
		}
	}
}

func (w *streamWriter) about(i int, mine bool, body string, headers wire.Table) *seen {
	if !mine {
		return nil
	}
	return &seen{tag: w.tags, body: body, headers: len(headers)}
}

// complete tells whether the frames, without the last, have the whole body.
func complete(frames []frameOf, size int) bool {
	if len(frames) < 3 {
		return false // the method and what interrupted it
	}
	for _, f := range frames[:len(frames)-1] {
		if f.bytes[0] == wire.FrameBody {
			size -= len(f.bytes) - frameOverhead
		}
	}
	return size == 0
}

func split(stream []byte, ours bool) (frames []frameOf) {
	r := bytes.NewReader(stream)
	for r.Len() > 0 {
		var head [7]byte
		_, _ = io.ReadFull(r, head[:])
		rest := make([]byte, int(head[3])<<24|int(head[4])<<16|int(head[5])<<8|int(head[6])+1)
		_, _ = io.ReadFull(r, rest)
		frames = append(frames, frameOf{bytes: append(head[:], rest...), ours: ours})
	}
	return frames
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
