package brokertest

import (
	"cmp"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

const (
	maxChannels = 2047      // RabbitMQ's channel_max
	maxFrame    = 128 << 10 // RabbitMQ's frame_max

	handshakeTimeout = 10 * time.Second // RabbitMQ's handshake_timeout
	closeTimeout     = 3 * time.Second  // RabbitMQ's SILENT_CLOSE_DELAY
)

// stage is how far a connection has come.
type stage int

const (
	waitHeader stage = iota
	waitStartOK
	waitTuneOK
	waitOpen
	opened
	closing // connection.close was sent, close-ok is waited for
	ended
)

// connection is one client's. Four goroutines serve it: its socket's, one for each way, and one for the
// heartbeats. It stays among the server's connections until its socket is gone, which may be long after
// it has ended.
type connection struct {
	server *Server
	id     int
	socket *socket
	frames *wire.Reader
	out    *outbox
	done   chan struct{} // closed when it has ended

	// Guarded by the server's mu.
	stage      stage
	user       string
	client     wire.Table // its client properties
	host       *virtualHost
	channels   map[uint16]*channel
	channelMax uint16
	frameMax   uint32
	heartbeat  time.Duration
	mute       bool          // sends no heartbeats
	unblocked  chan struct{} // closed when it is read again; nil while it is not blocked
	halted     chan struct{} // likewise, by flow control
	starved    bool          // a delivery was held back because the client does not read
	patience   *time.Timer   // for the next step of the handshake, or for close-ok

	frameFaults frameFaults
}

// newConnection serves conn. The caller holds mu.
func newConnection(s *Server, conn net.Conn) {
	c := &connection{
		server:   s,
		id:       s.lastID,
		socket:   newSocket(conn),
		out:      newOutbox(),
		done:     make(chan struct{}),
		channels: make(map[uint16]*channel),
	}
	c.frames = wire.NewReader(c.socket)
	c.socket.onReceive = func(total uint64) uint64 { return s.injections.bytes(c, received, total) }
	c.socket.onSend = func(total uint64) uint64 { return s.injections.bytes(c, sent, total) }
	c.socket.waiting = c.out.size.Load
	c.wait(handshakeTimeout)
	s.connections[c] = struct{}{}
	s.injections.connected(c)
	s.routines.Go(c.serve)
}

func (c *connection) serve() {
	var ways sync.WaitGroup
	ways.Go(c.socket.takeIn)
	ways.Go(c.write)
	c.read()
	c.end()
	ways.Wait()
	c.socket.cut()
	c.server.mu.Lock()
	defer c.server.unlock()
	delete(c.server.connections, c)
}

// wait hangs up unless stopped in time.
func (c *connection) wait(d time.Duration) {
	if c.patience != nil {
		c.patience.Stop()
	}
	c.patience = time.AfterFunc(d, func() { c.socket.Close() })
}

// dropSilently is how RabbitMQ ends a handshake that makes no sense: without a word, and not at once.
func (c *connection) dropSilently() {
	c.stage = closing
	c.wait(closeTimeout)
}

func (c *connection) read() {
	header, err := c.frames.ProtocolHeader()
	if err != nil {
		return
	}
	for more := c.greet(header); more; {
		c.out.waitForAnswerRoom()
		frame, err := c.frames.Next()
		var malformed *wire.FrameError
		switch {
		case errors.As(err, &malformed):
			more = c.malformed(malformed)
		case err != nil:
			return
		default:
			more = c.take(frame)
		}
	}
	// What comes now is not understood, or not wanted: it is read so that the client gets to read why,
	// and closes.
	buffer := make([]byte, 4<<10)
	for err == nil {
		_, err = c.socket.Read(buffer)
	}
}

func (c *connection) write() {
	err := c.out.drain(
		func(batch []byte) error {
			for part := range c.socket.parts(batch) {
				if _, err := c.socket.Write(part); err != nil {
					return err
				}
			}
			return nil
		},
		func() {
			if c.out.roomForDeliveries() {
				c.feed()
			}
		})
	c.out.close() // whoever waits for room in it waits no longer
	if err != nil {
		c.socket.waitUntilThawed() // that the client is gone is not to be noticed before
	}
	c.socket.leave()
}

// feed continues deliveries that were held back because the client did not read.
func (c *connection) feed() {
	c.server.mu.Lock()
	defer c.server.unlock()
	if !c.starved {
		return
	}
	c.starved = false
	for _, ch := range c.channelsInOrder() {
		ch.feed()
	}
}

// end is what is left to do when the socket is gone.
func (c *connection) end() {
	c.server.mu.Lock()
	defer c.server.unlock()
	c.hangUp()
	close(c.done)
}

// hangUp ends the connection at once, and takes the socket away. What was sent to a client that cannot
// see it yet still arrives, before the end.
func (c *connection) hangUp() {
	c.over()
	if c.socket.isFrozen(ToClient) {
		c.out.finish()
	} else {
		c.out.close()
	}
	c.socket.Close()
}

// reset ends the connection at once, with RST.
func (c *connection) reset() {
	c.over()
	c.socket.reset() // before the writer wakes, who would hang up
	c.out.close()
}

// over ends what the connection has, and with it the connection as far as anybody can see.
func (c *connection) over() {
	c.terminate()
	c.stage = ended
	c.patience.Stop()
}

// terminate ends the channels and what else belongs to the connection: what it had not acknowledged goes
// back, its exclusive queues go.
func (c *connection) terminate() {
	for _, ch := range c.channelsInOrder() {
		ch.end()
	}
	if c.host != nil {
		c.host.disconnected(c)
	}
}

func (c *connection) channelsInOrder() []*channel {
	channels := make([]*channel, 0, len(c.channels))
	for _, ch := range c.channels {
		channels = append(channels, ch)
	}
	slices.SortFunc(channels, func(a, b *channel) int { return cmp.Compare(a.id, b.id) })
	return channels
}

// greet answers the protocol header.
func (c *connection) greet(header [8]byte) (more bool) {
	c.server.mu.Lock()
	defer c.server.unlock()
	if c.stage != waitHeader { // a fault came first: at most close-ok is wanted
		return c.stage == closing
	}
	if string(header[:]) != wire.ProtocolHeader {
		c.out.add(func(b []byte) []byte { return append(b, c.server.offer(header)...) })
		c.out.finish()
		return false
	}
	c.stage = waitStartOK
	c.send(0, &wire.ConnectionStart{
		VersionMajor: 0, VersionMinor: 9,
		ServerProperties: c.server.serverProperties(),
		Mechanisms:       []byte(c.server.mechanisms()),
		Locales:          []byte("en_US"),
	})
	return c.stage != ended
}

// take handles one frame, once the client is listened to. It returns false when no more are wanted.
func (c *connection) take(f wire.Frame) (more bool) {
	defer c.server.unlock()
	if !c.listen(f) {
		return false
	}
	if c.server.injections.frame(c, f.Channel) || c.stage == ended {
		return c.stage != ended // the frame is lost
	}
	more = c.handleFrame(f)
	c.flushConfirms()
	return more
}

// handleFrame handles a frame that no fault has met.
func (c *connection) handleFrame(f wire.Frame) (more bool) {
	if f.Type == wire.FrameHeartbeat {
		switch {
		case len(f.Payload) > 0:
			return c.failed(nil, 0, 0, refuse(frameError, "a heartbeat with a payload"))
		case f.Channel != 0:
			return c.failed(nil, 0, 0, refuse(unexpectedFrame, "a heartbeat on channel %d", f.Channel))
		}
		return true
	}
	ch := c.channels[f.Channel]
	if ch != nil && ch.detain(f) {
		return true
	}
	if f.Type != wire.FrameMethod {
		switch {
		case ch != nil && ch.incoming != nil:
			return c.failed(ch, basicClass, publishMethod, ch.content(f))
		case c.stage == closing, ch != nil && (ch.closing || ch.dropping):
			return true
		}
		return c.failed(nil, 0, 0, refuse(unexpectedFrame, "expected method frame, got non method frame instead"))
	}
	m, err := wire.ParseMethod(f.Payload)
	if err != nil {
		return c.failed(nil, 0, 0, unreadable(err))
	}
	class, method := wire.ID(m)
	c.server.seen.counts[wire.Name(m)]++
	instead := c.server.injections.method(c, f.Channel, m)
	if ch != nil {
		_, publish := m.(*wire.BasicPublish)
		ch.dropping = instead && publish // its content is still to come
	}
	if instead || c.stage == ended {
		return c.stage != ended
	}
	if f.Channel == 0 {
		return c.failed(nil, class, method, c.handle(m))
	}
	return c.failed(ch, class, method, c.dispatch(ch, f.Channel, m))
}

// dispatch hands a method to its channel, or opens that.
func (c *connection) dispatch(ch *channel, id uint16, m wire.Method) error {
	if c.stage != opened {
		if c.stage == closing {
			return nil
		}
		return refuse(commandInvalid, "a channel's method before connection.open")
	}
	if ch != nil {
		return ch.take(m)
	}
	if _, ok := m.(*wire.ChannelOpen); ok {
		if most := int(c.channelMax); len(c.channels) >= most {
			c.close(refuse(notAllowed, "number of channels opened (%d) has reached the negotiated channel_max (%d)", most, most), 0, 0)
			return nil
		}
		c.channels[id] = newChannel(c, id)
		c.send(id, &wire.ChannelOpenOK{})
		return nil
	}
	return refuse(channelError, "expected 'channel.open'")
}

// failed tells the client what was wrong, on the scope that it is about.
func (c *connection) failed(ch *channel, class, method uint16, err error) (more bool) {
	var r *reply
	if err == nil {
		return c.stage != ended
	}
	if !errors.As(err, &r) {
		c.hangUp()
		return false
	}
	if ch != nil && !r.hard() {
		ch.close(r, class, method)
		return true
	}
	c.close(r, class, method)
	return c.stage != ended
}

func (c *connection) malformed(err *wire.FrameError) (more bool) {
	c.server.mu.Lock()
	defer c.server.unlock()
	if c.stage == opened {
		c.close(refuse(frameError, "%v", err), 0, 0)
	} else {
		c.out.finish()
	}
	return false
}

// close sends connection.close and waits for the answer. What the channels held goes back at once.
func (c *connection) close(r *reply, class, method uint16) {
	if c.stage >= closing {
		return
	}
	c.stage = closing
	c.terminate()
	c.wait(closeTimeout)
	c.send(0, &wire.ConnectionClose{ReplyCode: r.code, ReplyText: r.text, ClassID: class, MethodID: method})
}

func unreadable(err error) error {
	var unknown *wire.UnknownMethodError
	if errors.As(err, &unknown) {
		return errUnknownMethod
	}
	return refuse(frameError, "%v", err)
}

// errUnknownMethod is answered as RabbitMQ answers it: the socket is closed at once.
var errUnknownMethod = errors.New("unknown method")

// peer is the client's address, if it has one.
func (c *connection) peer() string {
	if address, ok := c.socket.raw.RemoteAddr().(*net.TCPAddr); ok {
		return address.String()
	}
	return ""
}
