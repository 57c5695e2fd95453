package brokertest

import (
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
)

func TestQueueState(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		ok(t, s.DeclareQueue("a", nil))
		ok(t, s.Publish("q", "1", "2", "3"))
		ch := openChannel(t, dial(t, s, "c"))
		ok(t, ch.Qos(2, 0, false))
		deliveries := consume(t, ch, "q")
		happens(t, s, "1", deliveries)
		want := QueueState{VirtualHost: "/", Name: "q", Ready: 1, Unacknowledged: 2, Consumers: 1}
		if got := stateOf(t, s, "q"); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got := s.Queues(); !slices.Equal(got, []QueueState{{VirtualHost: "/", Name: "a"}, want}) {
			t.Errorf("got %+v", got)
		}
		if got, found := s.Queue("other"); found || got != (QueueState{}) {
			t.Errorf("got %+v", got)
		}
	})
}

// What has left a queue is counted, however much it is, whoever took it.
func TestQueueStateCountsWhatWasSettled(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		bodies := make([]string, remembered+100)
		for _, queue := range []string{"q", "free"} {
			ok(t, s.DeclareQueue(queue, nil))
			ok(t, s.Publish(queue, bodies...))
		}
		greedy := join(t, s)
		greedy.send(1, &wire.BasicConsume{Queue: "free", NoAck: true, NoWait: true})
		go func() { _, _ = io.Copy(io.Discard, greedy) }()
		await(t, s, "all are delivered", func() bool { return stateOf(t, s, "free").Acknowledged == len(bodies) })

		p := join(t, s)
		take := func(noAck bool) {
			p.send(1, &wire.BasicGet{Queue: "q", NoAck: noAck})
			want[*wire.BasicGetOK](p)
			p.body()
		}
		for range 10 {
			take(false)
		}
		p.send(1, &wire.BasicAck{DeliveryTag: 1})
		p.send(1, &wire.BasicNack{DeliveryTag: 3, Multiple: true})
		p.send(1, &wire.BasicReject{DeliveryTag: 4})
		p.send(1, &wire.BasicNack{DeliveryTag: 5, Requeue: true})
		p.send(1, &wire.BasicReject{DeliveryTag: 6, Requeue: true})
		p.send(1, &wire.BasicAck{DeliveryTag: 9, Multiple: true})
		take(true)
		p.sync(1)
		want := QueueState{VirtualHost: "/", Name: "q", Ready: len(bodies) - 9, Unacknowledged: 1, Acknowledged: 5, Rejected: 3}
		if got := stateOf(t, s, "q"); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		s.StopApp()
		ok(t, s.StartApp())
		if got := stateOf(t, s, "q"); got.Acknowledged != 5 || got.Rejected != 3 {
			t.Errorf("after a restart: %+v", got)
		}
		s.DeleteQueue("q")
		ok(t, s.DeclareQueue("q", nil))
		if got := stateOf(t, s, "q"); got != (QueueState{VirtualHost: "/", Name: "q"}) {
			t.Errorf("another queue: %+v", got)
		}
	})
}

func TestQueueStateCountsBeyondWhatIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewInMemoryServer(t)
		ok(t, s.DeclareQueue("q", nil))
		const messages = remembered + 100
		ok(t, s.Publish("q", make([]string, messages)...))
		ch := openChannel(t, dial(t, s, "c"))
		deliveries := consume(t, ch, "q")
		for range messages - 1 {
			<-deliveries
		}
		last := <-deliveries
		ok(t, last.Ack(true))
		await(t, s, "all are acknowledged", func() bool { return stateOf(t, s, "q").Acknowledged == messages })
		if got := len(s.Settlements()); got != remembered {
			t.Errorf("%d settlements, want %d", got, remembered)
		}
	})
}

func TestConnectionState(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		conn := dial(t, s, "named")
		consume(t, openChannel(t, conn), "q")
		openChannel(t, conn)
		dial(t, s, "other")
		got := s.Connections()
		if len(got) != 2 || got[0].ID != 1 || got[1].ID != 2 || got[1].ClientProperties["connection_name"] != "other" {
			t.Fatalf("got %+v", got)
		}
		first := got[0]
		if first.User != "guest" || first.VirtualHost != "/" || first.Channels != 2 || first.Consumers != 1 || first.Blocked ||
			first.Heartbeat.Seconds() != 10 || first.ClientProperties["connection_name"] != "named" {
			t.Errorf("got %+v", first)
		}
		ok(t, conn.Close())
		if got := s.Connections(); len(got) != 1 || got[0].ID != 2 {
			t.Errorf("got %+v", got)
		}
	})
}

// Client properties are maps and slices, whatever they hold, and the caller's own.
func TestClientPropertiesArePlain(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		greet(t, s, 0, wire.Table{"t": wire.Table{"u": wire.Table{"n": int32(1)}}, "a": []any{wire.Table{}, []any{"s"}}})
		want := map[string]any{
			"t": map[string]any{"u": map[string]any{"n": int32(1)}},
			"a": []any{map[string]any{}, []any{"s"}},
		}
		for range 2 {
			got := s.Connections()[0].ClientProperties
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v", got)
			}
			got["t"].(map[string]any)["u"] = nil
		}
	})
}

func TestCount(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		p := join(t, s)
		p.sync(1)
		p.sync(1)
		for method, want := range map[string]int{
			"connection.start": 1, "connection.start-ok": 1, "connection.tune": 1, "connection.tune-ok": 1,
			"connection.open": 1, "connection.open-ok": 1, "channel.open": 1, "channel.open-ok": 1,
			"basic.qos": 2, "basic.qos-ok": 2, "basic.ack": 0,
		} {
			if got := s.Count(method); got != want {
				t.Errorf("%s: %d, want %d", method, got, want)
			}
		}
	})
}

func TestSettlements(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		ok(t, s.DeclareQueue("q", nil))
		ch := openChannel(t, dial(t, s, "c"))
		long := strings.Repeat("x", 300)
		for n := range 9 {
			ok(t, ch.Publish("", "q", false, false, amqp.Publishing{MessageId: strconv.Itoa(n + 1), Body: []byte(long)}))
		}
		deliveries := consume(t, ch, "q")
		for range 9 {
			happens(t, s, "a delivery", deliveries)
		}
		ok(t, ch.Ack(1, false))
		ok(t, ch.Ack(6, true)) // five messages, one frame
		ok(t, ch.Nack(7, false, true))
		ok(t, ch.Reject(8, false))
		ok(t, ch.Nack(9, true, false))
		ok(t, ch.Qos(0, 0, false))
		got := s.Settlements()
		for i := range got {
			if got[i].Time.IsZero() || string(got[i].Body) != long[:256] || got[i].MessageID != strconv.Itoa(i+1) {
				t.Errorf("got %+v", got[i])
			}
			got[i].Body = nil
			got[i].Time = time.Time{}
			got[i].MessageID = ""
		}
		want := []Settlement{}
		add := func(tag, frame uint64, method string, multiple, requeue bool) {
			want = append(want, Settlement{
				VirtualHost: "/",
				Connection:  1, Channel: 1, Queue: "q",
				Tag: tag, Frame: frame, Method: method, Multiple: multiple, Requeue: requeue,
			})
		}
		add(1, 1, "basic.ack", false, false)
		for tag := uint64(2); tag <= 6; tag++ {
			add(tag, 2, "basic.ack", true, false)
		}
		add(7, 3, "basic.nack", false, true)
		add(8, 4, "basic.reject", false, false)
		add(9, 5, "basic.nack", true, false)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v, want\n%+v", got, want)
		}
		if acks := s.Count("basic.ack"); acks != 2 {
			t.Errorf("%d acknowledgements, want 2", acks)
		}
	})
}

func TestRecent(t *testing.T) {
	for _, test := range []struct{ added, first, last, kept int }{
		{0, 0, 0, 0}, {1, 0, 0, 1}, {remembered, 0, remembered - 1, remembered}, {remembered + 1, 1, remembered, remembered},
		{3*remembered + 7, 2*remembered + 7, 3*remembered + 6, remembered},
	} {
		t.Run(strconv.Itoa(test.added), func(t *testing.T) {
			var r recent[int]
			for n := range test.added {
				r.add(n)
			}
			got := r.list()
			if len(got) != test.kept || !slices.IsSorted(got) {
				t.Fatalf("%d are kept, want %d in order", len(got), test.kept)
			}
			if test.kept > 0 && (got[0] != test.first || got[len(got)-1] != test.last) {
				t.Errorf("got %d to %d, want %d to %d", got[0], got[len(got)-1], test.first, test.last)
			}
		})
	}
}
