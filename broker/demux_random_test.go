package broker

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/everhop/everhop/broker/internal/wire"
)

// seen is a delivery.
type seen struct {
	tag     uint64
	body    uint32 // its checksum
	headers int    // how many
}

// TestDemuxRandomStreams interleaves the frames of several channels, of all kinds, and cuts them anywhere: what comes
// out is what went in, on each channel in its order.
func TestDemuxRandomStreams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newStreamWriter(t)
		for range rapid.SampledFrom([]int{1, 5, 30, 100}).Draw(t, "steps") {
			w.step()
		}
		for i := range w.frames {
			w.rest(i)
		}
		cut := rapid.SampledFrom([]int{1, 2, 64, 1000, 1 << 20, 1 << 20}).Draw(t, "cut")
		size := rapid.SampledFrom([]int{1, 3, 64, 4096, 1 << 18}).Draw(t, "reads")
		seed := rapid.Uint64().Draw(t, "pieces")
		pieces := func() func() int {
			random := rand.New(rand.NewPCG(seed, 0))
			return func() int { return 1 + random.IntN(cut) }
		}
		w.stepByStep(pieces())
		w.inReads(pieces(), size)
	})
}

// stepByStep takes what is in the inboxes whenever anything was dealt with. So all is taken, also what came in
// together with the end of its channel.
func (w *streamWriter) stepByStep(cut func() int) {
	d := newDemux(&feed{left: w.stream, cut: cut})
	taken := w.open(d)
	var passed []byte
	for d.failure == nil {
		for d.advance() {
			d.publish()
			taken.take()
			for d.passing > 0 && d.failure == nil { // amqp091-go reads its part
				n := int(min(d.passing, int64(d.end-d.start)))
				passed = append(passed, d.buffer[d.start:][:n]...)
				d.start, d.passing = d.start+n, d.passing-int64(n)
				if d.passing > 0 {
					d.fill()
				}
			}
		}
		if d.failure == nil {
			d.fill()
		}
	}
	if d.failure != io.EOF || !bytes.Equal(passed, w.theirs) {
		w.Errorf("step by step: passed on %d bytes, want %d; %v", len(passed), len(w.theirs), d.failure)
	}
	for i, number := range w.ours {
		if !slices.Equal(taken.got[i], w.said[i]) {
			w.Errorf("step by step, channel %d: got %v, want %v", number, taken.got[i], w.said[i])
		}
	}
}

// inReads reads in buffers of a size, and takes what is in the inboxes before each wait for more. All that has come
// in must be there then; only what came in since the last wait may be gone with the end of its channel, since nobody
// can acknowledge it any more.
func (w *streamWriter) inReads(cut func() int, size int) {
	end := errors.New("reset")
	source := &feed{left: w.stream, end: end}
	var taken *takings
	sure := make([]int, len(w.ours)) // deliveries that have been waited behind
	check := func() {
		taken.take()
		came := len(w.stream) - len(source.left)
		for i, number := range w.ours {
			got := taken.got[i]
			if n := w.complete(i, came); w.ended[i] == 0 || came < w.ended[i] {
				sure[i] = n
			}
			if len(got) < sure[i] || len(got) > len(w.said[i]) || !slices.Equal(got, w.said[i][:len(got)]) {
				w.Fatalf("channel %d, after %d bytes: got %v, want %d of %v", number, came, got, sure[i], w.said[i])
			}
		}
	}
	source.cut = func() int { check(); return cut() }
	d := newDemux(source)
	taken = w.open(d)
	var passed []byte
	p := make([]byte, size)
	for {
		n, err := d.Read(p)
		passed = append(passed, p[:n]...)
		if err != nil {
			if err != end || n != 0 {
				w.Fatalf("%d bytes and %v at the end", n, err)
			}
			break
		}
	}
	if !bytes.Equal(passed, w.theirs) {
		w.Errorf("passed on %d bytes, want %d", len(passed), len(w.theirs))
	}
	for i, r := range taken.routes {
		if w.ended[i] == 0 && len(taken.got[i]) != len(w.said[i]) {
			w.Errorf("channel %d: got %d of %d deliveries", w.ours[i], len(taken.got[i]), len(w.said[i]))
		}
		if !r.inbox.ended {
			w.Error("the inbox has not ended with the connection")
		}
	}
}

// takings are what was taken out of the inboxes.
type takings struct {
	routes []*route
	got    [][]seen
}

func (w *streamWriter) open(d *demux) *takings {
	return &takings{opened(d, 1<<20, w.ours...), make([][]seen, len(w.ours))}
}

func (t *takings) take() {
	for i, r := range t.routes {
		for _, m := range takenFrom(r.inbox) {
			t.got[i] = append(t.got[i], seen{tag: m.DeliveryTag, body: crc32.ChecksumIEEE(m.Body), headers: len(m.Headers)})
		}
	}
}

// streamWriter writes what a broker may send: frames of different channels in any order, those of one in theirs.
type streamWriter struct {
	*rapid.T
	ours   []uint16
	others []uint16
	stream []byte
	theirs []byte
	said   [][]seen
	ends   [][]int     // where in the stream what was said is complete
	ended  []int       // where a channel's end is known from; 0 if it has none
	frames [][]frameOf // to come, by channel
	tags   uint64
	closed []bool
}

// frameOf is a frame, and what has been said when it is complete.
type frameOf struct {
	bytes []byte
	ours  bool
	said  *seen
	ends  bool // its channel
}

func newStreamWriter(t *rapid.T) *streamWriter {
	w := &streamWriter{T: t, ours: []uint16{1, 3, 300}, others: []uint16{0, 2, 4}}
	w.said, w.ends, w.ended = make([][]seen, len(w.ours)), make([][]int, len(w.ours)), make([]int, len(w.ours))
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
		w.said[i], w.ends[i] = append(w.said[i], *f.said), append(w.ends[i], len(w.stream))
	}
	if f.ends {
		w.ended[i] = len(w.stream) - len(f.bytes) + frameHeader + 4 // with the method's numbers
	}
}

// complete is how many deliveries of a channel there are in so many bytes of the stream.
func (w *streamWriter) complete(i, came int) int {
	n, exactly := slices.BinarySearch(w.ends[i], came)
	if exactly {
		n++
	}
	return n
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
	body := make([]byte, rapid.SampledFrom([]int{0, 0, 0, 1, 1, 100, 5000, 70_000, 200_000}).Draw(w.T, "body"))
	_, _ = rand.NewChaCha8([32]byte{byte(w.tags)}).Read(body)
	limit := rapid.SampledFrom([]uint32{4096, 9000, 131072}).Draw(w.T, "frame_max")
	headers := wire.Table{}
	for k := range rapid.SampledFrom([]int{0, 0, 0, 1, 10, 6000}).Draw(w.T, "headers") {
		headers[fmt.Sprint("key", k)] = "some value"
	}
	h := wire.Header{Properties: wire.Properties{Headers: headers, DeliveryMode: 2}}
	kinds := []string{"deliver", "deliver", "deliver", "deliver", "deliver", "return", "get-ok", "interrupted", "cancel-ok", "ack", "close"}
	switch kind := rapid.SampledFrom(kinds).Draw(w.T, "kind"); kind {
	case "deliver", "interrupted":
		m := &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: w.tags, RoutingKey: fmt.Sprint(w.tags % 2)}
		frames := split(wire.AppendContent(nil, number, m, h, body, limit), mine)
		if kind == "interrupted" {
			frames = append(frames[:rapid.IntRange(1, len(frames)).Draw(w.T, "frames")],
				frameOf{bytes: method(nil, number, &wire.BasicCancel{ConsumerTag: "tag"})})
			if isComplete(frames, len(body)) { // it came too late
				frames[len(frames)-2].said = w.about(i, mine, body, headers)
			}
		} else {
			frames[len(frames)-1].said = w.about(i, mine, body, headers)
		}
		w.frames[i] = frames
	case "return":
		w.frames[i] = split(wire.AppendContent(nil, number, &wire.BasicReturn{ReplyText: "x"}, h, body, limit), false)
	case "get-ok":
		w.frames[i] = split(wire.AppendContent(nil, number, &wire.BasicGetOK{}, h, body, limit), false)
	case "cancel-ok":
		w.frames[i] = []frameOf{{bytes: method(nil, number, &wire.BasicCancelOK{ConsumerTag: "tag"})}}
	case "ack":
		w.frames[i] = []frameOf{{bytes: method(nil, number, &wire.BasicAck{DeliveryTag: 5})}}
	case "close":
		w.frames[i] = []frameOf{{bytes: method(nil, number, &wire.ChannelClose{ReplyCode: 404, ReplyText: "gone"}), ends: mine}}
		if mine {
			w.closed[i] = true
		}
	}
}

func (w *streamWriter) about(i int, mine bool, body []byte, headers wire.Table) *seen {
	if !mine {
		return nil
	}
	return &seen{tag: w.tags, body: crc32.ChecksumIEEE(body), headers: len(headers)}
}

// isComplete tells whether the frames, without the last, have the whole body.
func isComplete(frames []frameOf, size int) bool {
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
