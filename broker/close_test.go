package broker

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
)

func TestAbortNeedsNobodyToReceiveLosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		s := begin(t, plan)
		server.Inject(brokertest.Now(), brokertest.HangUp())
		synctest.Wait() // the loss waits for a receiver
		s.Abort()
	})
}

func TestSessionEndsOnce(t *testing.T) {
	abort := func(s *Session) error { s.Abort(); return nil }
	closing := func(s *Session) error { return s.Close(context.Background()) }
	for name, test := range map[string]struct {
		steps []func(*Session) error
		told  int // whether the broker was told
	}{
		"Abort, Abort": {[]func(*Session) error{abort, abort}, 0},
		"Close, Abort": {[]func(*Session) error{closing, abort}, 1},
		"Close, Close": {[]func(*Session) error{closing, closing}, 1},
		"Abort, Close": {[]func(*Session) error{abort, closing}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t)
				s := begin(t, plan)
				for i, step := range test.steps {
					if err := step(s); err != nil {
						t.Errorf("step %d: %v", i+1, err)
					}
				}
				if !s.Lost() {
					t.Error("it does not know that it ended")
				}
				wantNoMoreLosses(t, s) // what was asked for is none
				if told := server.Count("connection.close"); told != test.told || len(server.Connections()) != 0 {
					t.Errorf("the broker was told %d times, and has %+v", told, server.Connections())
				}
			})
		})
	}
}

// A session that was quiet for longer than the drain timeout is closed like any other: the broker is
// told, and what was written before, acknowledgements above all, is not thrown away.
func TestCloseOfAQuietSessionIsGraceful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t)
		s := begin(t, plan)
		time.Sleep(DefaultDrainTimeout + time.Second)
		const late = 100 * time.Millisecond
		server.Inject(brokertest.OnMethod("connection.close", 1), brokertest.Delay(late))
		if d := took(func() {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}); d != late || server.Count("connection.close") != 1 {
			t.Errorf("closed after %v, want %v; the broker was told %d times", d, late, server.Count("connection.close"))
		}
	})
}

func TestCloseIsBounded(t *testing.T) {
	tests := []struct {
		name      string
		heartbeat time.Duration
		context   time.Duration
		took      time.Duration
		want      error
	}{
		{"by the silence of the broker", DefaultHeartbeat, time.Hour, patience, errSilent},
		{"by its context", DefaultHeartbeat, time.Second, time.Second, context.DeadlineExceeded},
		{"by the time of a call", time.Second, time.Hour, defaultCallTimeout, errCallTimeout},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, plan := serve(t)
				plan.Heartbeat = test.heartbeat
				s := begin(t, plan)
				server.Inject(brokertest.OnMethod("connection.close", 1), brokertest.Drop())
				ctx, cancel := context.WithTimeout(t.Context(), test.context)
				defer cancel()
				var err error
				if d := took(func() { err = s.Close(ctx) }); d != test.took || !errors.Is(err, test.want) {
					t.Errorf("ended after %v with %v, want %v and %v", d, err, test.took, test.want)
				}
			})
		})
	}
}

// A broker under an alarm does not read from who publishes, and so not that the connection is to end.
func TestPublisherClosesUnderAnAlarm(t *testing.T) {
	t.Run("that it knows of", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server, plan := serve(t)
			p := publishing(t, server, plan)
			server.Alarm("")
			publish(t, p, "q")
			<-p.BlockedChanges()
			if d := took(func() { wantError(t, p.Close(t.Context()), Resource, ScopeConnection) }); d != 0 {
				t.Errorf("closed after %v", d)
			}
		})
	})
	t.Run("that it is told of meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server, plan := serve(t)
			p := publishing(t, server, plan)
			server.Inject(brokertest.OnMethod("connection.close", 1), brokertest.Drop())
			time.AfterFunc(time.Second, func() { server.Inject(brokertest.Now(), brokertest.Block("")) })
			if d := took(func() { wantError(t, p.Close(t.Context()), Resource, ScopeConnection) }); d != time.Second {
				t.Errorf("closed after %v", d)
			}
		})
	})
	t.Run("amid a message that the sockets do not hold", func(t *testing.T) { // what is left over, TestMain finds
		server := brokertest.NewServer(t)
		endpoints, err := ParseEndpoints(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		p := publishing(t, server, Plan{Endpoints: endpoints, CallTimeout: time.Hour})
		server.Alarm("")
		publish(t, p, "q")
		<-p.BlockedChanges()
		written := make(chan error)
		go func() {
			_, err := p.Publish(context.Background(), Message{RoutingKey: "q", Body: make([]byte, 64<<20)})
			written <- err
		}()
		for len(p.window) < 2 { // it is about to be written
			runtime.Gosched()
		}
		wantError(t, p.Close(t.Context()), Resource, ScopeConnection)
		wantError(t, <-written, Resource, ScopeConnection)
	})
}
