package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
)

// reading has a demux read the stream to its end, or until it fails; limit is MaxMessageSize.
func reading(t *testing.T, stream []byte, limit int64, cut func() int) (got []*Delivery, passed int, failure error) {
	t.Helper()
	var in *inbox
	d := newDemux(&feed{left: stream, cut: func() int {
		if in != nil {
			got = append(got, takenFrom(in)...)
		}
		return cut()
	}})
	in = opened(d, limit, 1)[0].inbox
	p := make([]byte, 100)
	for {
		n, err := d.Read(p)
		passed += n
		got = append(got, takenFrom(in)...)
		if err == io.EOF {
			return got, passed, nil
		}
		if err != nil {
			return got, passed, err
		}
	}
}

func deliver(tag uint64) []byte {
	return method(nil, 1, &wire.BasicDeliver{ConsumerTag: "tag", DeliveryTag: tag})
}

// headerOf is a header frame for a body of so many bytes.
func headerOf(size uint64, p wire.Properties) []byte {
	return wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeader, Channel: 1, Payload: wire.AppendHeader(nil, wire.Header{BodySize: size, Properties: p})})
}

func bodyOf(bytes int) []byte {
	return wire.AppendFrame(nil, wire.Frame{Type: wire.FrameBody, Channel: 1, Payload: make([]byte, bytes)})
}

// cuts are ways in which what comes in is cut.
func cuts(t *testing.T, test func(t *testing.T, cut func() int)) {
	t.Run("whole", func(t *testing.T) { test(t, whole) })
	t.Run("in bytes", func(t *testing.T) { test(t, func() int { return 1 }) })
	t.Run("in pieces", func(t *testing.T) { test(t, func() int { return 1009 }) })
}

// TestFaultyFrames: what is no frame ends the connection with the error that amqp091-go would give it, behind
// what came before it.
func TestFaultyFrames(t *testing.T) {
	before := wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeartbeat})
	large := strings.Repeat("x", 100_000)
	broken := func(frame []byte) []byte {
		frame[len(frame)-1] = 0xCF
		return frame
	}
	long := wire.AppendMethod(nil, &wire.BasicDeliver{ConsumerTag: "tag"})
	for name, test := range map[string]struct {
		stream []byte
		want   error
	}{
		"end of deliver":      {broken(deliver(2)), amqp.ErrFrame},
		"end of header":       {append(deliver(2), broken(headerOf(0, wire.Properties{}))...), amqp.ErrFrame},
		"end of large header": {append(deliver(2), broken(headerOf(0, wire.Properties{Headers: wire.Table{"a": large}}))...), amqp.ErrFrame},
		"end of body":         {append(append(deliver(2), headerOf(9, wire.Properties{})...), broken(bodyOf(9))...), amqp.ErrFrame},
		"end of large body":   {append(append(deliver(2), headerOf(99_999, wire.Properties{})...), broken(bodyOf(99_999))...), amqp.ErrFrame},
		"deliver cut":         {wire.AppendFrame(nil, wire.Frame{Type: wire.FrameMethod, Channel: 1, Payload: long[:8]}), amqp.ErrSyntax},
		"deliver too long":    {wire.AppendFrame(nil, wire.Frame{Type: wire.FrameMethod, Channel: 1, Payload: append(long, 0)}), amqp.ErrSyntax},
		"deliver too large":   {wire.AppendFrame(nil, wire.Frame{Type: wire.FrameMethod, Channel: 1, Payload: append(long, large...)}), amqp.ErrSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			cuts(t, func(t *testing.T, cut func() int) {
				stream := append(append([]byte{}, before...), test.stream...)
				got, passed, err := reading(t, append(stream, before...), 1<<20, cut)
				if err != test.want || passed != len(before) || len(got) != 0 {
					t.Errorf("%d deliveries, %d bytes passed on, %v; want %v", len(got), passed, err, test.want)
				}
			})
		})
	}
}

// TestFramesThatCannotBeMeant end the connection as soon as their size is there: nobody waits for what is behind it.
func TestFramesThatCannotBeMeant(t *testing.T) {
	const limit = 1 << 20
	claim := func(kind byte, size uint32) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{kind, 0, 1}, size), make([]byte, 20_000)...)
	}
	header := func(size uint64) []byte { return append(deliver(1), headerOf(size, wire.Properties{})...) }
	for name, test := range map[string]struct {
		stream []byte
		want   error
	}{
		"a header of 4 GB":                   {append(deliver(1), claim(2, math.MaxUint32)...), amqp.ErrFrameTooLarge},
		"a header above all limits":          {append(deliver(1), claim(2, limit+spare+1)...), amqp.ErrFrameTooLarge},
		"a header to be marked":              {append(deliver(1), claim(2, limit+spare)...), nil},
		"a header where a body belongs":      {append(header(100), claim(2, math.MaxUint32)...), amqp.ErrFrameTooLarge},
		"a body of 4 GB":                     {append(header(100), claim(3, math.MaxUint32)...), amqp.ErrFrameTooLarge},
		"a body of 4 GB, as announced":       {append(header(math.MaxUint64), claim(3, math.MaxUint32)...), amqp.ErrFrameTooLarge},
		"a body above what is announced":     {append(header(100), claim(3, 100+spare+1)...), amqp.ErrFrameTooLarge},
		"a body somewhat longer":             {append(header(100), claim(3, 100+spare)...), nil},
		"a second body above what is left":   {append(append(header(100_000), bodyOf(99_999)...), claim(3, 1+spare+1)...), amqp.ErrFrameTooLarge},
		"a body above what is left, skipped": {append(append(header(limit+1), bodyOf(limit)...), claim(3, 1+spare+1)...), amqp.ErrFrameTooLarge},
		"a large body without a header":      {append(deliver(1), claim(3, spare+1)...), amqp.ErrFrameTooLarge},
		"as large as RabbitMQ takes it":      {append(header(largestBody), claim(3, largestBody)...), nil},
	} {
		t.Run(name, func(t *testing.T) {
			cuts(t, func(t *testing.T, cut func() int) {
				got, passed, err := reading(t, test.stream, limit, cut)
				if err != test.want || passed != 0 || len(got) != 0 {
					t.Errorf("%d deliveries, %d bytes passed on, %v; want %v", len(got), passed, err, test.want)
				}
			})
		})
	}
}

// TestUnreadable: a message that cannot be read is marked, holds what could be read, and those behind it are read.
func TestUnreadable(t *testing.T) {
	frame := func(payload []byte) []byte {
		return wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeader, Channel: 1, Payload: payload})
	}
	faulty := wire.AppendHeader(nil, wire.Header{BodySize: 4, Properties: wire.Properties{
		ContentType: "text/plain", Headers: wire.Table{"a": "first", "b": true}, MessageID: "id"}})
	faulty[len(faulty)-len("t")-len("\x01")-len("\x02id")] = 'Z' // the type of b
	large := wire.Properties{ContentType: "text/plain", Headers: wire.Table{"a": strings.Repeat("x", 150_000)}, MessageID: "id"}
	tests := []struct {
		name     string
		stream   []byte // behind the method
		tooLarge bool
		want     Delivery
	}{
		{"a header", append(frame(faulty), bodyOf(4)...), false, Delivery{ContentType: "text/plain", MessageID: "id",
			Body: make([]byte, 4), Headers: map[string]any{"a": "first"}}},
		{"an empty header frame", frame(nil), false, Delivery{Body: []byte{}}},
		{"a large header", append(headerOf(4, large), bodyOf(4)...), true, Delivery{ContentType: "text/plain", Headers: nil}},
		{"a large body in one frame", append(headerOf(100_001, wire.Properties{MessageID: "id"}), bodyOf(100_001)...), true,
			Delivery{MessageID: "id"}},
		{"a body longer than said", append(headerOf(5, wire.Properties{MessageID: "id"}), bodyOf(100_001)...), true, Delivery{MessageID: "id"}},
		{"a large body in many frames", append(headerOf(200_000, wire.Properties{}), strings.Repeat(string(bodyOf(50_000)), 4)...), true,
			Delivery{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cuts(t, func(t *testing.T, cut func() int) {
				stream := append(append(deliver(1), test.stream...), message(nil, 1, &wire.BasicDeliver{DeliveryTag: 2}, "behind")...)
				got, passed, err := reading(t, stream, 100_000, cut)
				if len(got) != 2 || passed != 0 || err != nil {
					t.Fatalf("%d deliveries, %d bytes passed on, %v", len(got), passed, err)
				}
				first := got[0]
				if first.Unreadable == nil || errors.Is(first.Unreadable, ErrTooLarge) != test.tooLarge {
					t.Fatalf("unreadable: %v", first.Unreadable)
				}
				if raw := first.Unreadable.RawHeader; string(raw) != string(test.stream[7:][:len(raw)]) || len(raw) > readSize {
					t.Errorf("the raw header has %d bytes", len(raw))
				}
				if first.DeliveryTag != 1 || first.ContentType != test.want.ContentType || first.MessageID != test.want.MessageID ||
					(first.Body == nil) != (test.want.Body == nil) || string(first.Body) != string(test.want.Body) ||
					test.want.Headers != nil && (len(first.Headers) != 1 || first.Headers["a"] != "first") {
					t.Errorf("got %+v", first)
				}
				if got[1].Unreadable != nil || string(got[1].Body) != "behind" {
					t.Errorf("behind it: %+v", got[1])
				}
			})
		})
	}
}

// TestBodiesOfOtherLengths: as with amqp091-go, a message ends with the frame that completes it, and another
// method ends one that is not complete.
func TestBodiesOfOtherLengths(t *testing.T) {
	join := func(frames ...[]byte) (stream []byte) {
		for _, f := range frames {
			stream = append(stream, f...)
		}
		return stream
	}
	header := func(size uint64) []byte { return headerOf(size, wire.Properties{}) }
	for name, test := range map[string]struct {
		stream []byte
		bodies []int
		passed int
	}{
		"empty frames":        {join(deliver(1), header(2), bodyOf(0), bodyOf(2), deliver(2), header(0)), []int{2, 0}, 0},
		"longer than said":    {join(deliver(1), header(2), bodyOf(1), bodyOf(5), deliver(2), header(1), bodyOf(20_000)), []int{6, 20_000}, 0},
		"without a header":    {join(deliver(1), bodyOf(2), deliver(2), header(3), bodyOf(3)), []int{3}, 0},
		"large, no header":    {join(deliver(1), bodyOf(20_000), deliver(2), header(3), bodyOf(3)), []int{3}, 0},
		"two headers":         {join(deliver(1), header(2), header(2), deliver(2), header(3), bodyOf(3)), []int{3}, 0},
		"two deliveries":      {join(deliver(1), header(2), deliver(2), header(3), bodyOf(3)), []int{3}, 0},
		"a body for nothing":  {join(deliver(1), header(0), bodyOf(2)), []int{0}, len(bodyOf(2))},
		"as large as is said": {join(deliver(1), header(math.MaxUint64), bodyOf(2)), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cuts(t, func(t *testing.T, cut func() int) {
				got, passed, err := reading(t, test.stream, 1<<20, cut)
				if len(got) != len(test.bodies) || passed != test.passed || err != nil {
					t.Fatalf("%d deliveries, %d bytes passed on, %v", len(got), passed, err)
				}
				for i, m := range got {
					if len(m.Body) != test.bodies[i] || m.Unreadable != nil {
						t.Errorf("body of %d, want %d; %v", len(m.Body), test.bodies[i], m.Unreadable)
					}
				}
			})
		})
	}
}

// TestWhatIsOnlySaidTakesNoMemory: a size is quickly said.
func TestWhatIsOnlySaidTakesNoMemory(t *testing.T) {
	frame := func(kind byte, size uint32) []byte {
		return binary.BigEndian.AppendUint32([]byte{kind, 0, 1}, size)
	}
	for name, stream := range map[string][]byte{
		"a body":       append(append(deliver(1), headerOf(200<<20, wire.Properties{})...), bodyOf(10)...),
		"a body frame": append(append(deliver(1), headerOf(200<<20, wire.Properties{})...), append(frame(3, 200<<20), 1, 2, 3)...),
		"a header":     append(deliver(1), append(frame(2, 200<<20), 1, 2, 3)...),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, _, err := reading(t, stream, 256<<20, whole)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 2*readSize || len(got) != 0 || err != nil {
				t.Errorf("%d bytes of memory, %d deliveries, %v", used, len(got), err)
			}
		})
	}
}

// TestChannelNumbersAreUsedAgain: a route ends with its channel.
func TestChannelNumbersAreUsedAgain(t *testing.T) {
	for name, end := range map[string]wire.Method{"the broker closes": &wire.ChannelClose{}, "we close": &wire.ChannelCloseOK{}} {
		t.Run(name, func(t *testing.T) {
			source := &feed{cut: whole}
			d := newDemux(source)
			read := func(stream []byte) int {
				source.left = stream
				n, _ := d.Read(make([]byte, 1000))
				return n
			}
			first := opened(d, 1<<20, 1)[0]
			read(append(message(nil, 1, &wire.BasicDeliver{}, "first"), method(nil, 1, end)...))
			if !first.inbox.ended {
				t.Error("the inbox has not ended")
			}
			late := message(nil, 1, &wire.BasicDeliver{}, "nobody's")
			if n := read(late); n != len(late) {
				t.Errorf("%d bytes of %d were passed on", n, len(late))
			}
			second := opened(d, 1<<20, 1)[0]
			read(append(message(nil, 1, &wire.BasicDeliver{}, "second"), method(nil, 1, &wire.BasicConsumeOK{})...))
			if got := takenFrom(second.inbox); len(got) != 1 || string(got[0].Body) != "second" {
				t.Errorf("got %d deliveries", len(got))
			}
		})
	}
}

// TestAChannelThatIsNotOpened leaves nothing behind for the next one.
func TestAChannelThatIsNotOpened(t *testing.T) {
	d := newDemux(&feed{cut: whole})
	refused := errors.New("refused")
	if err := d.open(newRoute(1), func() error { return refused }); err != refused {
		t.Errorf("got %v", err)
	}
	if err := d.open(newRoute(1), func() error { return nil }); err != errUnseen {
		t.Errorf("got %v", err)
	}
	if r := opened(d, 1, 5)[0]; d.routes.get(5) != r {
		t.Error("the next one has no route")
	}
}

// TestReturnsOfAPublisher: a message that comes back may be one that amqp091-go would end the connection for, as
// may any. What is not for the publisher stays amqp091-go's.
func TestReturnsOfAPublisher(t *testing.T) {
	deep := any("bottom")
	for range 40 {
		deep = []any{deep}
	}
	headers := wire.Table{"deep": deep, "large": strings.Repeat("x", 150_000)}
	var stream []byte
	for i, body := range []string{"", "short", strings.Repeat("x", 100_000)} {
		h := wire.Header{Properties: wire.Properties{MessageID: fmt.Sprint(i), Headers: headers}}
		stream = wire.AppendContent(stream, 1, &wire.BasicReturn{ReplyCode: 312, RoutingKey: "key"}, h, []byte(body), 0)
		stream = method(stream, 1, &wire.BasicAck{DeliveryTag: uint64(i)})
	}
	acks := 3 * len(method(nil, 1, &wire.BasicAck{}))
	cuts(t, func(t *testing.T, cut func() int) {
		d := newDemux(&feed{left: stream, cut: cut})
		var got []string
		opened(d, 1<<20, 1)[0].returned = func(m *Delivery) { got = append(got, m.MessageID) }
		passed, err := io.Copy(io.Discard, struct{ io.Reader }{d})
		if passed != int64(acks) || err != nil || !slices.Equal(got, []string{"0", "1", "2"}) {
			t.Errorf("%d bytes passed on, returned %v, %v", passed, got, err)
		}
	})
}

// FuzzDemux reads anything at all: however it is cut, the same is passed on, and it fails in the same way.
func FuzzDemux(f *testing.F) {
	h := headerOf(4, wire.Properties{Headers: wire.Table{"a": []any{int64(1)}}, MessageID: "id"})
	good := append(append(deliver(1), h...), bodyOf(4)...)
	f.Add(good, 3)
	f.Add(append(method(nil, 1, &wire.BasicCancelOK{}), append(good, method(nil, 1, &wire.ChannelClose{})...)...), 1)
	f.Add(message(good, 1, &wire.BasicReturn{}, "returned"), 7)
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), 2)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		cut = max(cut, 1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, passed, failure := reading(t, stream, 1<<20, whole)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 2*readSize+200*uint64(len(stream)) {
			t.Errorf("%d bytes took %d", len(stream), used)
		}
		_, passedCut, failureCut := reading(t, stream, 1<<20, func() int { return cut })
		if passedCut != passed || failureCut != failure {
			t.Errorf("%d bytes passed on, %v; in pieces of %d: %d, %v", passed, failure, cut, passedCut, failureCut)
		}
	})
}
