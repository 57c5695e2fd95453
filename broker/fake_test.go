package broker

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// method is an AMQP method by class and number.
type method struct{ class, number uint16 }

var (
	header         = method{0, 0} // the protocol header, which opens a connection
	start          = method{10, 10}
	startOK        = method{10, 11}
	tune           = method{10, 30}
	connectionOpen = method{10, 40}
	openOK         = method{10, 41}
	closing        = method{10, 50}
	closeOK        = method{10, 51}
	blocked        = method{10, 60}
	unblocked      = method{10, 61}
	channelOpen    = method{20, 10}
	channelOpenOK  = method{20, 11}
	qos            = method{60, 10}
	qosOK          = method{60, 11}
)

// fake is the least AMQP broker that a Session can be opened on. It works on a net.Pipe, so it
// lives in a synctest bubble, where time costs nothing and a goroutine that is left over is an error.
type fake struct {
	on map[method]func(*peer) // what to do instead of the usual answer

	mu    sync.Mutex
	peers []*peer
}

// peer is the broker's end of one connection.
type peer struct {
	net.Conn
	gone chan struct{} // closed when the connection ended
	mu   sync.Mutex
	mute bool
	seen map[method]int
}

var answers = map[method]func(*peer){
	header: func(p *peer) {
		p.send(start, 0, []byte("\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US"))
	},
	startOK:        func(p *peer) { p.send(tune, 0, []byte{7, 255, 0, 2, 0, 0, 0, 10}) },
	connectionOpen: func(p *peer) { p.send(openOK, 0, []byte{0}) },
	channelOpen:    func(p *peer) { p.send(channelOpenOK, 1, make([]byte, 4)) },
	qos:            func(p *peer) { p.send(qosOK, 1, nil) },
	closing:        func(p *peer) { p.send(closeOK, 0, nil); p.Close() },
}

// What a peer can do wrong.
func freeze(p *peer) { p.mu.Lock(); p.mute = true; p.mu.Unlock() } // reads on, never writes again
func hangUp(p *peer) { p.Close() }
func ignore(*peer)   {}
func refuse(code uint16, text string) func(*peer) {
	return func(p *peer) {
		arguments := binary.BigEndian.AppendUint16(nil, code)
		arguments = append(append(arguments, byte(len(text))), text...)
		p.send(closing, 0, append(arguments, 0, 0, 0, 0))
	}
}

// after acts later, if the connection still stands then.
func after(d time.Duration, act func(*peer)) func(*peer) {
	return func(p *peer) {
		select {
		case <-time.After(d):
			act(p)
		case <-p.gone:
		}
	}
}

// beats sends a heartbeat each second.
func beats(p *peer) {
	for {
		select {
		case <-time.After(time.Second):
			p.beat()
		case <-p.gone:
			return
		}
	}
}

func openThenFreeze(p *peer) { answers[connectionOpen](p); freeze(p) }

func (f *fake) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	p := &peer{Conn: far, gone: make(chan struct{}), seen: map[method]int{}}
	f.mu.Lock()
	f.peers = append(f.peers, p)
	f.mu.Unlock()
	go f.serve(p)
	return near, nil
}

// serve reads frames until the connection ends, one answer for each method. The answers are given
// beside it, so that a slow one does not keep the client from writing.
func (f *fake) serve(p *peer) {
	defer close(p.gone)
	defer p.Close()
	var head [8]byte
	if _, err := io.ReadFull(p, head[:]); err != nil { // "AMQP" 0 0 9 1
		return
	}
	for m := header; ; {
		p.mu.Lock()
		p.seen[m]++
		p.mu.Unlock()
		if act := f.on[m]; act != nil {
			go act(p)
		} else if act := answers[m]; act != nil {
			go act(p)
		}
		if _, err := io.ReadFull(p, head[:7]); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(head[3:7])+1)
		if _, err := io.ReadFull(p, rest); err != nil {
			return
		}
		m = method{class: 1<<16 - 1} // a heartbeat: no answer
		if head[0] == 1 {
			m = method{binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])}
		}
	}
}

func (p *peer) send(m method, channel uint16, arguments []byte) {
	payload := binary.BigEndian.AppendUint16(nil, m.class)
	payload = append(binary.BigEndian.AppendUint16(payload, m.number), arguments...)
	p.frame(1, channel, payload)
}

func (p *peer) beat() { p.frame(8, 0, nil) }

func (p *peer) frame(kind byte, channel uint16, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mute {
		return
	}
	frame := append([]byte{kind}, byte(channel>>8), byte(channel))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(payload)))
	p.Write(append(append(frame, payload...), 0xCE))
}

func (p *peer) saw(m method) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[m]
}

// plan connects to the fake.
func (f *fake) plan() Plan {
	return Plan{Endpoints: []Endpoint{{host: "a", port: 1, vhost: "/"}}, Dial: f.dial}
}

// open opens a session on the fake, which is aborted with the test.
func (f *fake) open(t *testing.T) (*Session, *peer) {
	t.Helper()
	s, err := Open(t.Context(), f.plan(), 7, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Abort)
	return s, f.peers[len(f.peers)-1]
}

// took returns how long f runs, in the bubble's time.
func took(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}
