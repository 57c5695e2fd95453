package systemd_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/systemd"
	"github.com/everhop/everhop/fsm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manager is systemd's side.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T, address string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	t.Setenv("WATCHDOG_USEC", "")
	t.Setenv("WATCHDOG_PID", "")
	return &manager{t, conn}
}

// patience is for what happens at once on an idle machine.
const patience = time.Minute

// next returns the next message, "" if none has come within a time.
func (m *manager) next(within time.Duration) string {
	m.t.Helper()
	buffer := make([]byte, 4096)
	if err := m.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		m.t.Fatal(err)
	}
	n, _ := m.conn.Read(buffer)
	return string(buffer[:n])
}

// tell sends a message, as a process does.
func (m *manager) tell(text string) error {
	conn, err := net.Dial("unixgram", m.conn.LocalAddr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(text))
	return err
}

// news returns the next message that has more to tell than that the watchdog is fed.
func (m *manager) news() string {
	m.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if got := strings.TrimSuffix(strings.TrimSuffix(m.next(time.Until(deadline)), "WATCHDOG=1"), "\n"); got != "" {
			return got
		}
	}
	return ""
}

// fake is a consumer of which the test says how it is.
type fake struct {
	mu     sync.Mutex
	status consumer.Status
}

func (f *fake) Status() consumer.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *fake) is(state fsm.State, notReady, notAlive []consumer.Reason) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Name, f.status.State, f.status.NotReady, f.status.NotAlive = "orders", state, notReady, notAlive
}

func because(code, text string) []consumer.Reason { return []consumer.Reason{{Code: code, Text: text}} }

func addresses(t *testing.T) map[string]string {
	list := map[string]string{"file": filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		list["abstract"] = "@everhop/test/" + strconv.Itoa(os.Getpid())
	}
	return list
}

// quick looks are taken often.
func quick(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "40000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
}

func TestStart(t *testing.T) {
	for name, address := range addresses(t) {
		t.Run(name, func(t *testing.T) {
			m, c := newManager(t, address), new(fake)
			quick(t)
			expect := func(want string) {
				t.Helper()
				if got := m.news(); got != want {
					t.Errorf("%q, want %q", got, want)
				}
			}
			c.is(consumer.Reviving, because(consumer.ReasonReviving, "connection refused\nMAINPID=1"), nil)
			stop, err := systemd.Start(c)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			expect("STATUS=orders: Reviving, not ready: connection refused MAINPID=1")
			c.is(consumer.Consuming, nil, nil)
			expect("READY=1\nSTATUS=orders: Consuming, ready")
			c.is(consumer.Reviving, because(consumer.ReasonReviving, "gone"), nil)
			expect("STATUS=orders: Reviving, not ready: gone")
			c.is(consumer.Consuming, nil, nil)
			expect("STATUS=orders: Consuming, ready") // READY is told once
			c.is(consumer.Consuming, because(consumer.ReasonStopping, "it stops"), nil)
			expect("STOPPING=1\nSTATUS=orders: Consuming, not ready: it stops")
			stop()
			stop()
			for got := "-"; got != ""; got = m.next(50 * time.Millisecond) {
				if strings.Contains(got, "STOPPING") {
					t.Error("STOPPING is told twice")
				}
			}
		})
	}
}

// The watchdog is fed in an outage, and not while one of the consumers is not alive.
func TestWatchdog(t *testing.T) {
	m, a, b := newManager(t, filepath.Join(t.TempDir(), "notify")), new(fake), new(fake)
	quick(t)
	a.is(consumer.Reviving, because(consumer.ReasonReviving, "gone"), nil)
	b.is(consumer.Consuming, nil, nil)
	stop, err := systemd.Start(a, b)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	m.news()
	for range 5 {
		if got := m.next(patience); got != "WATCHDOG=1" {
			t.Fatalf("%q", got)
		}
	}
	b.is(consumer.Consuming, nil, because(consumer.ReasonStuck, "nothing for 31 s"))
	if got := m.news(); got != "STATUS=orders: Reviving, not ready: gone | orders: Consuming, not alive: nothing for 31 s" {
		t.Errorf("%q", got)
	}
	if got := m.next(200 * time.Millisecond); got != "" {
		t.Errorf("it is told %q", got)
	}
	stop()
	if got := m.news(); got != "STOPPING=1" {
		t.Errorf("%q", got)
	}
}

func TestNotWanted(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	stop, err := systemd.Start(new(fake))
	if err != nil {
		t.Error(err)
	}
	stop()
}

func TestForAnotherProcess(t *testing.T) {
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "4000")
	t.Setenv("WATCHDOG_PID", "1")
	c := new(fake)
	c.is(consumer.Consuming, nil, nil)
	stop, err := systemd.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if got := m.next(patience); strings.Contains(got, "WATCHDOG") {
		t.Errorf("%q", got)
	}
}

func TestErrors(t *testing.T) {
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "soon")
	if _, err := systemd.Start(new(fake)); err == nil || !strings.Contains(err.Error(), `WATCHDOG_USEC="soon"`) {
		t.Error(err)
	}
	t.Setenv("WATCHDOG_USEC", "")
	m.conn.Close()
	if _, err := systemd.Start(new(fake)); err == nil || !strings.Contains(err.Error(), "systemd: NOTIFY_SOCKET: ") {
		t.Error(err)
	}
}
