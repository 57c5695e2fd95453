//go:build unix

package consumer_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/consumer"
)

const (
	prefetch = 256
	batch    = 64 // messages that the hand-tuned loop acknowledges at once
)

// contestants consume the same messages in different ways. The first and the third are what the others are
// compared with.
var contestants = []struct {
	name    string
	consume func(heat, *meter) error
}{
	{oneAck, loop(amqp.Config{}, 1)},
	{"one-ack, Recovery", loop(amqp.Config{Recovery: &amqp.Recovery{}}, 1)},
	{handTuned, loop(amqp.Config{}, batch)},
	{everhop1, everhop(1)},
	{"everhop 16", everhop(16)},
}

const (
	oneAck    = "one-ack"
	handTuned = "hand-tuned"
	everhop1  = "everhop 1"
)

// heat is one contestant's turn.
type heat struct {
	Contestant string
	URL, Queue string
	Messages   int
	Profile    string // the file for a CPU profile, if any
	// Frames has Everhop count acknowledgement frames, too. It reads from a connection that Dial returned with more
	// caution, which costs time, than from its own; the loops do not know the difference.
	Frames bool
}

// score is what it came to.
type score struct {
	Handled        int
	Elapsed        time.Duration // from the first message handled to the last one
	Closed         time.Duration // from the last message to the end of the connection, with all acknowledged
	Returned       int           // messages that came back then; known to the parent
	CPU            time.Duration // user and system, as long as Elapsed
	Mallocs, Bytes uint64        // allocated meanwhile
	Acks           int64         // frames that settled messages
}

// TestContestant is a heat, in a process of its own: only so its CPU time and its allocations are told apart
// from the publisher's and the broker's.
func TestContestant(t *testing.T) {
	var h heat
	if !isChild(t, &h) {
		return
	}
	if h.Profile != "" {
		file, err := os.Create(h.Profile)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			t.Fatal(err)
		}
		defer pprof.StopCPUProfile()
	}
	for _, c := range contestants {
		if c.name == h.Contestant {
			m := &meter{want: int64(h.Messages)}
			if err := c.consume(h, m); err != nil {
				t.Fatal(err)
			}
			reply(t, m.score())
			return
		}
	}
	t.Fatalf("there is no contestant %q", h.Contestant)
}

// loop is what a program does that has amqp091-go and nothing else: one basic.ack for each so many messages.
func loop(config amqp.Config, each int) func(heat, *meter) error {
	return func(h heat, m *meter) error {
		config.Dial = func(network, address string) (net.Conn, error) {
			return m.dial(context.Background(), network, address)
		}
		connection, err := amqp.DialConfig(h.URL, config)
		if err != nil {
			return err
		}
		channel, err := connection.Channel()
		if err != nil {
			return err
		}
		if err := channel.Qos(prefetch, 0, false); err != nil {
			return err
		}
		deliveries, err := channel.Consume(h.Queue, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		if err := acknowledge(deliveries, m, each); err != nil {
			return err
		}
		return connection.Close()
	}
}

func acknowledge(deliveries <-chan amqp.Delivery, m *meter, each int) error {
	unacknowledged := 0
	for d := range deliveries {
		last := m.handle()
		unacknowledged++
		if unacknowledged == each || last {
			if err := d.Ack(each > 1); err != nil {
				return err
			}
			unacknowledged = 0
		}
		if last {
			return nil
		}
	}
	return fmt.Errorf("the channel was closed after %d messages", m.handled.Load())
}

func everhop(concurrency int) func(heat, *meter) error {
	return func(h heat, m *meter) error {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		dial := m.dial
		if !h.Frames {
			dial = nil
		}
		c, err := consumer.New(consumer.Config{
			URLs: []string{h.URL},
			Dial: dial,
			Subscriptions: []consumer.Subscription{{
				Queue:       h.Queue,
				Concurrency: concurrency,
				Prefetch:    prefetch,
				Handler: func(context.Context, *consumer.Delivery) error {
					if m.handle() {
						stop()
					}
					return nil
				},
			}},
		})
		if err != nil {
			return err
		}
		return c.Run(ctx)
	}
}

// meter measures from the first message to the last one.
type meter struct {
	want        int64
	handled     atomic.Int64
	acks        atomic.Int64
	first, last usage
}

type usage struct {
	at     time.Time
	cpu    time.Duration
	memory runtime.MemStats
}

// handle counts a message, and tells whether it was the last one.
func (m *meter) handle() bool {
	switch m.handled.Add(1) {
	case 1: // the clock starts when all else was read
		runtime.ReadMemStats(&m.first.memory)
		m.first.cpu = cpuTime()
		m.first.at = time.Now()
	case m.want:
		m.last.at = time.Now()
		m.last.cpu = cpuTime()
		runtime.ReadMemStats(&m.last.memory)
		return true
	}
	return false
}

// score is asked for when the connection has been closed.
func (m *meter) score() score {
	return score{
		Handled: int(m.handled.Load()),
		Elapsed: m.last.at.Sub(m.first.at),
		Closed:  time.Since(m.last.at),
		CPU:     m.last.cpu - m.first.cpu,
		Mallocs: m.last.memory.Mallocs - m.first.memory.Mallocs,
		Bytes:   m.last.memory.TotalAlloc - m.first.memory.TotalAlloc,
		Acks:    m.acks.Load(),
	}
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func (m *meter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return m.counter(conn), nil
}

func (m *meter) counter(conn net.Conn) *ackCounter {
	return &ackCounter{Conn: conn, acks: &m.acks, rest: len("AMQP\x00\x00\x09\x01")}
}

// ackCounter counts the frames with basic.ack, basic.nack and basic.reject that a client writes, however the
// writes cut them. It costs some ten nanoseconds a write, so that it need not be taken out to measure.
type ackCounter struct {
	net.Conn
	acks   *atomic.Int64
	frame  [frameHeader + 4]byte // the current frame's header, class and method
	have   int                   // bytes of it
	rest   int                   // bytes until the frame's header ends, or the frame
	header bool                  // which of the two
}

const frameHeader = 7 // type, channel, size; behind the payload an octet ends the frame

func (c *ackCounter) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.count(p[:n])
	return n, err
}

func (c *ackCounter) count(p []byte) {
	for len(p) > 0 {
		n := min(c.rest, len(p))
		c.have += copy(c.frame[c.have:], p[:n])
		c.rest -= n
		p = p[n:]
		switch {
		case c.rest > 0:
		case c.header:
			c.header = false
			c.rest = int(binary.BigEndian.Uint32(c.frame[3:frameHeader])) + 1
		default:
			if c.have == len(c.frame) && c.frame[0] == methodFrame && settles(c.frame[frameHeader:]) {
				c.acks.Add(1)
			}
			c.header = true
			c.have, c.rest = 0, frameHeader
		}
	}
}

func settles(method []byte) bool {
	switch binary.BigEndian.Uint32(method) { // class, method
	case 60<<16 | 80, 60<<16 | 120, 60<<16 | 90:
		return true
	}
	return false
}

func TestAckCounter(t *testing.T) {
	stream := "AMQP\x00\x00\x09\x01" +
		"\x01\x00\x01\x00\x00\x00\x0b\x00\x3c\x00\x0a\x00\x00\x00\x00\x01\x00\x00\xce" + // basic.qos
		"\x01\x00\x01\x00\x00\x00\x0d\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\x01\x00\xce" + // basic.ack
		"\x08\x00\x00\x00\x00\x00\x00\xce" + // a heartbeat
		"\x01\x00\x01\x00\x00\x00\x0d\x00\x3c\x00\x78\x00\x00\x00\x00\x00\x00\x00\x02\x00\xce" + // basic.nack
		"\x03\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x50\xce" + // a body that looks like one
		"\x01\x00\x01\x00\x00\x00\x0d\x00\x3c\x00\x5a\x00\x00\x00\x00\x00\x00\x00\x03\x00\xce" // basic.reject
	for size := 1; size <= len(stream); size++ {
		var m meter
		c := m.counter(nil)
		for chunk := range slices.Chunk([]byte(stream), size) {
			c.count(chunk)
		}
		if n := m.acks.Load(); n != 3 {
			t.Errorf("counted %d frames in writes of %d bytes, want 3", n, size)
		}
	}
}

// taskVariable tells a child what to do.
const taskVariable = "EVERHOP_BENCH_TASK"

// inChild runs a test of this package in a process of its own, with a task, and returns what it replies.
func inChild[Result any](tb testing.TB, test string, task any) (result Result) {
	tb.Helper()
	text, err := json.Marshal(task)
	if err != nil {
		tb.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	// The timeout is for a child whose parent was killed.
	child := exec.CommandContext(tb.Context(), program, "-test.run=^"+test+"$", "-test.timeout=10m")
	child.Env = append(os.Environ(), taskVariable+"="+string(text),
		"GORACE=atexit_sleep_ms=0") // the race detector's second for late reports would be the longest part
	output, err := child.Output()
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(output)).Decode(&result)
	}
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", test, text, err, output)
	}
	return result
}

// isChild reads the child's task; false in any other process.
func isChild(t *testing.T, task any) bool {
	text := os.Getenv(taskVariable)
	if text == "" {
		return false
	}
	if err := json.Unmarshal([]byte(text), task); err != nil {
		t.Fatal(err)
	}
	return true
}

func reply(t *testing.T, result any) {
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		t.Fatal(err)
	}
}
