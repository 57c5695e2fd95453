package brokertest

import (
	"errors"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker/internal/wire"
)

// What can never happen is said at once. It fails the test whose server it is, unless that is for who is there now.
func TestInjectNever(t *testing.T) {
	for _, test := range []struct {
		when Moment
		what Fault
		want string // "" if it can happen
	}{
		{Now(), Drop(), "it needs OnFrame or OnMethod"},
		{OnConnect(1), Drop(), "it needs OnFrame or OnMethod"},
		{AfterSent(1), Drop(), "it needs OnFrame or OnMethod"},
		{OnFrame(1), Drop(), ""},
		{Now(), Nack(), `it needs OnMethod("basic.publish", n)`},
		{OnMethod("basic.ack", 1), Withhold(), `it needs OnMethod("basic.publish", n)`},
		{OnMethod("basic.publish", 1), ConfirmTogether(2), ""},
		{Now().Of("nobody"), Reset(), "there is no such connection"},
		{Now().Of("a"), Reset(), ""},
		{OnFrame(1).Of("nobody"), Reset(), ""}, // who may come
		{Now().From("192.0.2.1:5"), Reset(), "there is no such connection"},
		{Now().On(7), Reset(), "there is no connection 7"},
		{OnFrame(1).On(7), Reset(), ""}, // which may come
		{OnFrame(1).On(1), Reset(), "there is no connection 1"},
		{OnConnect(1).On(2), Reset(), "connection 2 has been accepted already"},
		{Now().In("nowhere"), DeleteQueue("q"), `there is no virtual host "nowhere"`},
		{OnConnect(1).Of("a"), Reset(), "the connection has no name yet"},
		{OnMethod("connection.start-ok", 1).Of("a"), Reset(), "the connection has no name yet"},
		{OnMethod("connection.open", 1).In("/"), Reset(), "the connection is in no virtual host yet"},
		{OnConnect(1).OnQueue("q"), Reset(), "it has to do with no queue"},
		{OnMethod("channel.open", 1).OnQueue("q"), Reset(), "it has to do with no queue"},
		{Now().Again(), Reset(), "Now comes once"},
		{AfterSent(5).Again(), Reset(), "bytes come once"},
	} {
		s, err := Start(Config{})
		ok(t, err)
		var failed int
		s.fail = func(string, ...any) { failed++ }
		gone := dial(t, s, "gone")
		ok(t, gone.Close())
		await(t, s, "it is gone", func() bool { return len(s.Connections()) == 0 })
		dial(t, s, "a")
		i := s.Inject(test.when, test.what)
		switch {
		case test.want == "" && (i.Err != nil || failed != 0):
			t.Errorf("%s: %v", test.what, i.Err)
		case test.want != "" && (i.Err == nil || !strings.HasSuffix(i.Err.Error(), test.want) || !pending(i.Played)),
			(failed == 1) != (mistaken(test.when, test.what) != nil):
			t.Errorf("%s: %v, want %q; failed %d times", test.what, i.Err, test.want, failed)
		}
		s.Close()
		if err := s.Inject(Now(), Reset()).Err; !errors.Is(err, ErrClosed) {
			t.Errorf("of a closed server: %v", err)
		}
	}
}

func TestOnOneConnection(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		first, second, third := join(t, s), join(t, s), join(t, s)
		of := s.Connections()
		s.Inject(OnMethod("basic.qos", 1).On(of[1].ID), HangUp())
		if !s.inMemory {
			s.Inject(OnMethod("basic.qos", 1).From(of[2].Peer), HangUp())
		}
		first.send(1, &wire.BasicQos{PrefetchCount: 1})
		want[*wire.BasicQosOK](first)
		second.send(1, &wire.BasicQos{PrefetchCount: 1})
		third.send(1, &wire.BasicQos{PrefetchCount: 1})
		left := 1
		if s.inMemory {
			left = 2
		}
		await(t, s, "the others are gone", func() bool { return len(s.Connections()) == left })
		first.sync(1)
	})
}

func TestAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		i := s.Inject(OnMethod("basic.qos", 2).Again(), Drop())
		for range 6 {
			p.send(1, &wire.BasicQos{PrefetchCount: 1})
		}
		p.sync(1)
		await(t, s, "all have come", func() bool { return s.Count("basic.qos") == 7 })
		happens(t, s, "the fault", i.Played)
		if got := s.Count("basic.qos-ok"); got != 4 { // one of them for sync
			t.Errorf("%d of 7 were answered, want 4", got)
		}
	})
}
