package brokertest_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8

	protocolHeader = "AMQP\x00\x00\x09\x01"
)

// wire is a connection without a client library, for what no library sends.
type wire struct {
	*client
	net.Conn
	reader *bufio.Reader
}

func (c *client) wire() *wire {
	c.Helper()
	conn, err := net.Dial("tcp", c.server.Addr())
	c.ok(err)
	c.Cleanup(func() { conn.Close() })
	return &wire{c, conn, bufio.NewReader(conn)}
}

// long is a string with 4 octets of length, octets are without; a plain string has 1 octet of length.
type (
	long   string
	octets []byte
)

func encode(values ...any) []byte {
	var out bytes.Buffer
	for _, value := range values {
		switch v := value.(type) {
		case string:
			out.WriteByte(byte(len(v)))
			out.WriteString(v)
		case long:
			binary.Write(&out, binary.BigEndian, uint32(len(v)))
			out.WriteString(string(v))
		case octets:
			out.Write(v)
		default: // of a fixed size
			binary.Write(&out, binary.BigEndian, v)
		}
	}
	return out.Bytes()
}

func frame(kind byte, channel uint16, payload ...any) []byte {
	return encode(kind, channel, long(encode(payload...)), byte(0xCE))
}

// send writes octets as they are. That the broker has closed the connection shows when reading.
func (w *wire) send(octets []byte) { w.Write(octets) }

func (w *wire) method(channel, class, method uint16, arguments ...any) {
	w.send(frame(frameMethod, channel, append([]any{class, method}, arguments...)...))
}

// received is a frame from the broker.
type received struct {
	kind    byte
	channel uint16
	payload []byte
}

func (f received) is(class, method uint16) bool {
	return f.kind == frameMethod && bytes.HasPrefix(f.payload, encode(class, method))
}

func (f received) String() string {
	return fmt.Sprintf("frame of type %d on channel %d: %q", f.kind, f.channel, f.payload)
}

func (w *wire) next() (f received, err error) {
	w.SetReadDeadline(time.Now().Add(moment))
	var head [7]byte
	if _, err := io.ReadFull(w.reader, head[:]); err != nil {
		return f, err
	}
	f = received{head[0], binary.BigEndian.Uint16(head[1:]), make([]byte, binary.BigEndian.Uint32(head[3:])+1)}
	_, err = io.ReadFull(w.reader, f.payload)
	f.payload = f.payload[:len(f.payload)-1]
	return f, err
}

// want reads the next frame, which must be this method.
func (w *wire) want(class, method uint16) received {
	w.Helper()
	f, err := w.next()
	w.ok(err)
	if !f.is(class, method) {
		w.Fatalf("got %v, want method %d.%d", f, class, method)
	}
	return f
}

// wantClose reads connection.close, or channel.close, and agrees to it.
func (w *wire) wantClose(code uint16, text string, cause [2]uint16) {
	w.Helper()
	f, err := w.next()
	w.ok(err)
	if !f.is(10, 50) && !f.is(20, 40) {
		w.Fatalf("got %v, want a close method", f)
	}
	want := encode(code, text, cause)
	if got := f.payload[4:]; !bytes.Equal(got, want) {
		w.Errorf("got code, text and cause\n%q, want\n%q", got, want)
	}
	w.method(f.channel, binary.BigEndian.Uint16(f.payload), binary.BigEndian.Uint16(f.payload[2:])+1)
}

// wantCode is wantClose whatever the text; 0 is a hang-up or a frame error.
func (w *wire) wantCode(code uint16) {
	w.Helper()
	f, err := w.next()
	if code == 0 && err != nil && !timedOut(err) {
		return
	}
	w.ok(err)
	code = cmp.Or(code, 501)
	if !f.is(10, 50) || !bytes.HasPrefix(f.payload[4:], encode(code)) {
		w.Errorf("got %v, want connection.close with %d", f, code)
	}
	w.method(0, 10, 51)
}

// wantHangUp expects the broker to close the socket without another frame.
func (w *wire) wantHangUp() {
	w.Helper()
	if err := w.hungUp(); err != nil {
		w.Error(err)
	}
}

func (w *wire) hungUp() error {
	f, err := w.next()
	if err == nil {
		return fmt.Errorf("got %v, want the connection closed", f)
	}
	if timedOut(err) {
		return fmt.Errorf("still open after %v", moment)
	}
	return nil
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// start says hello and reads connection.start.
func (w *wire) start() received {
	w.Helper()
	w.send([]byte(protocolHeader))
	return w.want(10, 10)
}

func (w *wire) startOK(mechanism, response string, properties ...any) {
	w.method(0, 10, 11, long(encode(properties...)), mechanism, long(response), "en_US")
}

// tune logs in and reads connection.tune.
func (w *wire) tune() received {
	w.Helper()
	w.start()
	w.startOK("PLAIN", "\x00guest\x00guest")
	return w.want(10, 30)
}

func (w *wire) tuneOK(channelMax uint16, frameMax uint32, heartbeat uint16) {
	w.method(0, 10, 31, channelMax, frameMax, heartbeat)
}

// open completes the handshake.
func (w *wire) open(channelMax uint16, frameMax uint32, heartbeat uint16) {
	w.Helper()
	w.tune()
	w.tuneOK(channelMax, frameMax, heartbeat)
	w.method(0, 10, 40, "/", "", byte(0))
	w.want(10, 41)
}

func (w *wire) openChannel(number uint16) {
	w.Helper()
	w.method(number, 20, 10, "")
	w.want(20, 11)
}
