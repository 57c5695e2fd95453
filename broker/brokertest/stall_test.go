package brokertest

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

// Who takes nothing of what waits for it is dropped, whatever it sends meanwhile; who takes a little of it, or could have
// had all of it in its kernel, is not, and neither is one that the network keeps from it.
func TestStall(t *testing.T) {
	for _, test := range []struct {
		name    string
		bytes   int // of a message that waits for the client
		reads   time.Duration
		frozen  bool
		tls     bool
		dropped bool
	}{
		{name: "reads nothing", bytes: 200 << 10, dropped: true},
		{name: "reads nothing over TLS", bytes: 200 << 10, tls: true, dropped: true},
		{name: "reads a little", bytes: 200 << 10, reads: 10 * time.Second},
		{name: "reads too seldom", bytes: 200 << 10, reads: time.Minute, dropped: true},
		{name: "little waits", bytes: 1 << 10},
		{name: "the way to it is frozen", bytes: 200 << 10, frozen: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewInMemoryServer(t, Config{TLS: test.tls})
				ok(t, s.DeclareQueue("q", nil))
				p := greet(t, s, 10*time.Second, able)
				p.channel(1)
				p.send(1, &wire.BasicConsume{Queue: "q", NoAck: true})
				want[*wire.BasicConsumeOK](p)
				if test.frozen {
					s.Inject(Now(), Freeze(ToClient))
				}
				ok(t, s.Publish("q", string(make([]byte, test.bytes))))
				var client sync.WaitGroup
				over := make(chan struct{})
				client.Go(func() {
					beat, read := time.Tick(5*time.Second), make(<-chan time.Time)
					if test.reads > 0 {
						read = time.Tick(test.reads)
					}
					for {
						select {
						case <-over:
							return
						case <-beat:
							_, _ = p.Write(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeartbeat}))
						case <-read:
							_, _ = p.Read(make([]byte, 10))
						}
					}
				})
				defer client.Wait()
				defer close(over)
				time.Sleep(29 * time.Second)
				synctest.Wait()
				if len(s.Connections()) != 1 {
					t.Error("dropped too early")
				}
				time.Sleep(12 * time.Second)
				synctest.Wait()
				if dropped := len(s.Connections()) == 0; dropped != test.dropped {
					t.Errorf("dropped: %t, want %t", dropped, test.dropped)
				}
				time.Sleep(4 * time.Minute)
				synctest.Wait()
				if dropped := len(s.Connections()) == 0; dropped != test.dropped {
					t.Errorf("minutes later dropped: %t, want %t", dropped, test.dropped)
				}
			})
		})
	}
}
