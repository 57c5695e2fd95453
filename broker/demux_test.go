package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"



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
	if len(f.left) == 0 {
		if f.end != nil {
			return 0, f.end
		}
		return 0, io.EOF
	}
	n := min(len(p), len(f.left), f.cut())
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

func content(to []byte, channel uint16, m wire.Method, body string) []byte {
	return wire.AppendContent(to, channel, m, wire.Header{Properties: wire.Properties{MessageID: body}}, []byte(body), 0)
}

// TestDemuxCutAnywhere cuts a stream in two at each byte, and into single bytes.
func TestDemuxCutAnywhere(t *testing.T) {
	var stream, theirs []byte
	pass := func(frame []byte) { stream, theirs = append(stream, frame...), append(theirs, frame...) }
	pass(method(nil, 1, &wire.BasicConsumeOK{ConsumerTag: "tag"}))
	stream = content(stream, 1, &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 1}, "one")
	pass(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeartbeat}))
	pass(content(nil, 1, &wire.BasicReturn{ReplyText: "NO_ROUTE"}, "returned"))
	stream = content(stream, 1, &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 2}, "")
	pass(content(nil, 2, &wire.BasicDeliver{ConsumerTag: "other"}, "not ours"))
	stream = content(stream, 1, &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 3}, "three")
	pass(method(nil, 1, &wire.BasicCancelOK{ConsumerTag: "tag"}))

	for first := 0; first <= len(stream); first++ {
		cuts := []int{first, 1 << 30}
		d := newDemux(&feed{left: stream, cut: func() int {
			if first == 0 {
				return 1
			}
			n := cuts[0]
			cuts = cuts[1:]
			return n
		}})
		r := opened(d, 1<<20, 1)[0]
		passed := new(bytes.Buffer)
		if _, err := io.Copy(passed, iotest.OneByteReader(struct{ io.Reader }{d})); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(passed.Bytes(), theirs) {
			t.Fatalf("cut at %d, passed on % x, want % x", first, passed.Bytes(), theirs)
		}
		// The connection's end has dropped what was waiting, so it is looked at before that.
		d = newDemux(&feed{left: stream, cut: func() int { return max(first, 1) }})
		r = opened(d, 1<<20, 1)[0]
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

// said is what happens on a channel, in its order.
type said struct {
	tag     uint64
	body    string
	headers int
	event   string // "open", "closed", "ended" instead of a delivery
}

// TestDemuxRandomStreams interleaves the frames of several channels, of all kinds, cuts them anywhere, and reads
// them in buffers of any size.
func TestDemuxRandomStreams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newStreamWriter(t)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			w.step()
		}
		for w.pending() {
			w.step()
		}
		end := errors.New("reset")
		cut := rapid.SampledFrom([]int{1, 2, 7, 64, 1000, 1 << 20}).Draw(t, "cut")
		size := rapid.SampledFrom([]int{1, 3, 64, 4096, 1 << 18}).Draw(t, "reads")
		d := newDemux(&feed{left: w.stream, end: end, cut: func() int { return rapid.IntRange(1, cut).Draw(t, "piece") }})
		routes := opened(d, 1<<20, w.ours...)
		got := make([][]said, len(routes))
		var passed []byte
		watch := func() {
			for i, r := range routes {
				for _, m := range drained(r.inbox) {
					got[i] = append(got[i], said{tag: m.DeliveryTag, body: string(m.Body), headers: len(m.Headers)})
				}
			}
		}
		p := make([]byte, size)
		for {
			n, err := d.Read(p)
			passed = append(passed, p[:n]...)
			watch()
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
			if !reflect.DeepEqual(got[i], w.said[i]) {
				t.Errorf("channel %d: got\n%v, want\n%v", w.ours[i], got[i], w.said[i])
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
	said   [][]said
	frames [][]frameOf // to come, by channel
	tags   uint64
	closed []bool
}

// frameOf is a frame, and what has been said when it is complete.
type frameOf struct {
	bytes []byte
	ours  bool
	said  *said
}

func newStreamWriter(t *rapid.T) *streamWriter {
	w := &streamWriter{T: t, ours: []uint16{1, 3, 300}, others: []uint16{0, 2, 4}}
	w.said = make([][]said, len(w.ours))
	w.frames = make([][]frameOf, len(w.ours)+len(w.others))
	w.closed = make([]bool, len(w.ours))
	return w
}

func (w *streamWriter) pending() bool {
	for _, frames := range w.frames {
		if len(frames) > 0 {
			return true
		}
	}
	return false
}

func (w *streamWriter) step() {
	i := rapid.IntRange(0, len(w.frames)-1).Draw(w.T, "channel")
	if len(w.frames[i]) == 0 {
		w.begin(i)
	}
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
			if len(frames) <= 2 || len(body) > 0 && !complete(frames, len(body)) {
				w.frames[i] = frames
				return
			}
			frames[len(frames)-2].said = w.about(i, mine, body, headers)
			w.frames[i] = frames
			return
		}
		frames[len(frames)-1].said = w.about(i, mine, body, headers)
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
			w.said[i] = append(w.said[i][:0:0], w.said[i]...)
		}
	}
}

func (w *streamWriter) about(i int, mine bool, body string, headers wire.Table) *said {
	if !mine {
		return nil
	}
	return &said{tag: w.tags, body: body, headers: len(headers)}
}

// complete tells whether the frames, without the last, have the whole body.
func complete(frames []frameOf, size int) bool {
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
