package wire

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	amqp "github.com/rabbitmq/amqp091-go"
)

// TestRealClient talks to amqp091-go, and compares what either side understood with what the other said.
func TestRealClient(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	server := &script{conn: far, reader: NewReader(far)}
	ended := make(chan error, 1)
	go func() {
		defer far.Close()
		ended <- server.run()
	}()

	conn, err := amqp.Open(near, amqp.Config{
		SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "guest", Password: "secret"}}, Vhost: "/v", Locale: "en_US",
		Properties: amqp.Table{"product": "client"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := client{t, conn}
	c.connection()
	ch := c.channel()
	c.topology(ch)
	c.consuming(ch)
	c.getting(ch)
	c.publishing(ch)
	c.emptying(ch)
	c.must(ch.Close())
	c.transaction(c.channel())
	c.failing(c.channel())
	c.must(conn.Close())
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	c.expect(wantSent(), server.said)
}

// client is the client's side of the conversation; each of its methods is a part of it.
type client struct {
	*testing.T
	conn *amqp.Connection
}

func (c client) connection() {
	c.expect(amqp.Table{"product": "script", "capabilities": amqp.Table{"basic.nack": true}}, c.conn.Properties)
	blocked := c.conn.NotifyBlocked(make(chan amqp.Blocking, 2))
	c.must(c.conn.UpdateSecret("new secret", "expired"))
	c.expect(amqp.Blocking{Active: true, Reason: "low on memory"}, <-blocked)
	c.expect(amqp.Blocking{}, <-blocked)
}

func (c client) topology(ch *amqp.Channel) {
	c.must(ch.ExchangeDeclare("ex", "topic", true, false, true, false, amqp.Table{"alternate-exchange": "other"}))
	c.must(ch.ExchangeBind("to", "key", "from", false, amqp.Table{"a": 1}))
	c.must(ch.ExchangeUnbind("to", "key", "from", false, nil))
	queue, err := ch.QueueDeclare("queue", true, false, true, false, amqp.Table{"x-max-length": int64(10)})
	c.must(err)
	c.expect(amqp.Queue{Name: "queue", Messages: 3, Consumers: 4}, queue)
	c.must(ch.QueueBind("queue", "key", "ex", false, nil))
	c.must(ch.QueueUnbind("queue", "key", "ex", nil))
}

func (c client) consuming(ch *amqp.Channel) {
	c.must(ch.Qos(10, 20, true))
	c.must(ch.Flow(true))
	deliveries, err := ch.Consume("queue", "tag", false, true, false, false, amqp.Table{"x-priority": 5})
	c.must(err)
	d := <-deliveries
	c.expectMessage(d, longBody())
	c.expect([]any{"tag", uint64(1<<40 + 1), true, "ex", "key"},
		[]any{d.ConsumerTag, d.DeliveryTag, d.Redelivered, d.Exchange, d.RoutingKey})
	c.must(d.Ack(true))
	c.must(d.Nack(true, true))
	c.must(d.Reject(true))
	c.must(ch.Recover(true)) //nolint:staticcheck // deprecated, and still part of what a client may send
	c.must(ch.Cancel("tag", false))
}

func (c client) getting(ch *amqp.Channel) {
	d, ok, err := ch.Get("queue", false)
	c.must(err)
	c.expect([]any{true, uint64(2), uint32(9)}, []any{ok, d.DeliveryTag, d.MessageCount})
	c.expectMessage(d, []byte{})
	_, ok, err = ch.Get("queue", true)
	c.must(err)
	c.expect(false, ok)
}

func (c client) publishing(ch *amqp.Channel) {
	c.must(ch.Confirm(false))
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	confirmed, err := ch.PublishWithDeferredConfirm("ex", "key", true, false, message())
	c.must(err)
	c.expect(true, confirmed.Wait())
	r := <-returns
	c.expect([]any{uint16(312), "NO_ROUTE", "ex", "key", longBody()},
		[]any{r.ReplyCode, r.ReplyText, r.Exchange, r.RoutingKey, r.Body})
}

func (c client) emptying(ch *amqp.Channel) {
	purged, err := ch.QueuePurge("queue", false)
	c.must(err)
	c.expect(5, purged)
	deleted, err := ch.QueueDelete("queue", true, true, false)
	c.must(err)
	c.expect(6, deleted)
	c.must(ch.ExchangeDelete("ex", true, false))
}

func (c client) transaction(ch *amqp.Channel) {
	c.must(ch.Tx())
	c.must(ch.Publish("", "queue", false, false, amqp.Publishing{}))
	c.must(ch.TxCommit())
	c.must(ch.TxRollback())
}

func (c client) failing(ch *amqp.Channel) {
	_, err := ch.QueueDeclarePassive("missing", false, true, false, false, nil)
	var got *amqp.Error
	if !errors.As(err, &got) || got.Code != 404 || got.Reason != "NOT_FOUND" || !got.Server {
		c.Errorf("got %v", err)
	}
}

func (c client) channel() *amqp.Channel {
	c.Helper()
	ch, err := c.conn.Channel()
	c.must(err)
	return ch
}

func (c client) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c client) expect(want, got any) {
	c.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		c.Errorf("-want +got:\n%s", diff)
	}
}

// expectMessage compares what the client received with what it would publish to have that sent.
func (c client) expectMessage(d amqp.Delivery, body []byte) {
	c.Helper()
	want := message()
	want.Body = body
	want.Headers["int"] = int32(7) // how the client sends an int
	want.Headers["time"] = time.Unix(1700000000, 0)
	want.Timestamp = time.Unix(1600000000, 0)
	c.expect(want, amqp.Publishing{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration,
		MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, UserId: d.UserId, AppId: d.AppId, Body: d.Body,
	})
}

// wantSent is all that the client said, in its order.
func wantSent() []sent {
	properties := messageProperties()
	return []sent{
		{Method: &ConnectionStartOK{
			ClientProperties: Table{"product": "client", "capabilities": Table{
				"basic.nack": true, "connection.blocked": true, "consumer_cancel_notify": true, "publisher_confirms": true,
			}},
			Mechanism: "PLAIN", Response: []byte("\x00guest\x00secret"), Locale: "en_US",
		}},
		{Method: &ConnectionTuneOK{ChannelMax: 100, FrameMax: FrameMinSize, Heartbeat: 60}},
		{Method: &ConnectionOpen{VirtualHost: "/v"}},
		{Method: &ConnectionUpdateSecret{NewSecret: []byte("new secret"), Reason: "expired"}},

		{Channel: 1, Method: &ChannelOpen{}},
		{Channel: 1, Method: &ExchangeDeclare{Exchange: "ex", Type: "topic", Durable: true, Internal: true,
			Arguments: Table{"alternate-exchange": "other"}}},
		{Channel: 1, Method: &ExchangeBind{Destination: "to", Source: "from", RoutingKey: "key", Arguments: Table{"a": int32(1)}}},
		{Channel: 1, Method: &ExchangeUnbind{Destination: "to", Source: "from", RoutingKey: "key"}},
		{Channel: 1, Method: &QueueDeclare{Queue: "queue", Durable: true, Exclusive: true,
			Arguments: Table{"x-max-length": int64(10)}}},
		{Channel: 1, Method: &QueueBind{Queue: "queue", Exchange: "ex", RoutingKey: "key"}},
		{Channel: 1, Method: &QueueUnbind{Queue: "queue", Exchange: "ex", RoutingKey: "key"}},
		{Channel: 1, Method: &BasicQos{PrefetchSize: 20, PrefetchCount: 10, Global: true}},
		{Channel: 1, Method: &ChannelFlow{Active: true}},
		{Channel: 1, Method: &BasicConsume{Queue: "queue", ConsumerTag: "tag", Exclusive: true,
			Arguments: Table{"x-priority": int32(5)}}},
		{Channel: 1, Method: &BasicAck{DeliveryTag: 1<<40 + 1, Multiple: true}},
		{Channel: 1, Method: &BasicNack{DeliveryTag: 1<<40 + 1, Multiple: true, Requeue: true}},
		{Channel: 1, Method: &BasicReject{DeliveryTag: 1<<40 + 1, Requeue: true}},
		{Channel: 1, Method: &BasicRecover{Requeue: true}},
		{Channel: 1, Method: &BasicCancel{ConsumerTag: "tag"}},
		{Channel: 1, Method: &BasicGet{Queue: "queue"}},
		{Channel: 1, Method: &BasicGet{Queue: "queue", NoAck: true}},
		{Channel: 1, Method: &ConfirmSelect{}},
		{Channel: 1, Method: &BasicPublish{Exchange: "ex", RoutingKey: "key", Mandatory: true},
			Header: &Header{BodySize: 10000, Properties: properties}, Body: longBody()},
		{Channel: 1, Method: &QueuePurge{Queue: "queue"}},
		{Channel: 1, Method: &QueueDelete{Queue: "queue", IfUnused: true, IfEmpty: true}},
		{Channel: 1, Method: &ExchangeDelete{Exchange: "ex", IfUnused: true}},
		{Channel: 1, Method: &ChannelClose{ReplyCode: 200}},

		{Channel: 2, Method: &ChannelOpen{}},
		{Channel: 2, Method: &TxSelect{}},
		{Channel: 2, Method: &BasicPublish{RoutingKey: "queue"}, Header: &Header{}},
		{Channel: 2, Method: &TxCommit{}},
		{Channel: 2, Method: &TxRollback{}},

		{Channel: 3, Method: &ChannelOpen{}},
		{Channel: 3, Method: &QueueDeclare{Queue: "missing", Passive: true, AutoDelete: true}},
		{Channel: 3, Method: &ChannelCloseOK{}},
		{Method: &ConnectionClose{ReplyCode: 200, ReplyText: "kthxbai"}},
	}
}
