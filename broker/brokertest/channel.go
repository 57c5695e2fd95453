package brokertest

import (
	"cmp"
	"slices"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// channel is one of a connection's. Everything in it is guarded by the server's mu.
type channel struct {
	connection *connection
	id         uint16
	closing    bool         // channel.close was sent, close-ok is waited for
	blocked    bool         // by a queue that is suspended
	detained   []wire.Frame // what has come since then

	consumers    map[string]*consumer
	lastConsumer uint64
	served       uint64 // the number of the consumer that got the last delivery
	unacked      deliveries
	replies      *replyConsumer // nil if there is none
	prefetch     int            // of consumers to come
	shared       int            // prefetch of all consumers together (basic.qos global); 0 is no limit

	incoming    *incoming // a message on its way in
	fate        fate      // of the next one
	assent      assent    // to it
	together    int       // how many messages to come are confirmed with one frame
	dropping    bool      // the content of a publish that a fault lost is on its way in
	flow        flow
	confirming  bool
	tx          *transaction   // nil outside of tx mode
	published   uint64         // in confirm mode
	unconfirmed []*unconfirmed // ascending by tag
	confirmed   []uint64       // tags of which the client is not told yet, ascending
	lastQueue   string         // the queue declared last, which "" stands for
}

func newChannel(c *connection, id uint16) *channel {
	return &channel{connection: c, id: id, consumers: make(map[string]*consumer)}
}

// take handles a method. What it refuses, it refuses with a *reply.
func (ch *channel) take(m wire.Method) error {
	switch m.(type) {
	case *wire.ChannelClose:
		if !ch.closing { // else both sides close at once, and each awaits the other's answer
			ch.end()
		}
		ch.send(&wire.ChannelCloseOK{})
		return nil
	case *wire.ChannelCloseOK:
		if ch.closing {
			delete(ch.connection.channels, ch.id)
		}
		return nil
	}
	if ch.closing {
		return nil
	}
	if _, publish := m.(*wire.BasicPublish); !publish {
		ch.flushConfirms()
	}
	if ch.incoming != nil {
		return ch.incoming.unexpected()
	}
	if ch.tx != nil && ch.tx.committing != nil {
		return refuse(channelError, "unexpected command while processing 'tx.commit'")
	}
	if err := ch.authorize(m); err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire.ChannelOpen:
		return refuse(channelError, "second 'channel.open' seen")
	case *wire.ChannelFlow:
		if !m.Active {
			return refuse(notImplemented, "active=false")
		}
		ch.send(&wire.ChannelFlowOK{Active: true})
		return nil
	case *wire.ExchangeDeclare:
		return ch.declareExchange(m)
	case *wire.ExchangeDelete:
		return ch.deleteExchange(m)
	case *wire.ExchangeBind:
		return ch.bindExchange(m)
	case *wire.ExchangeUnbind:
		return ch.unbindExchange(m)
	case *wire.QueueDeclare:
		return ch.declareQueue(m)
	case *wire.QueueBind:
		return ch.bindQueue(m)
	case *wire.QueueUnbind:
		return ch.unbindQueue(m)
	case *wire.QueuePurge:
		return ch.purgeQueue(m)
	case *wire.QueueDelete:
		return ch.deleteQueue(m)
	case *wire.BasicQos:
		return ch.qos(m)
	case *wire.BasicConsume:
		return ch.consume(m)
	case *wire.BasicCancel:
		return ch.cancel(m)
	case *wire.BasicCancelOK:
		return nil
	case *wire.BasicPublish:
		ch.incoming = &incoming{publish: m, fate: ch.fate}
		ch.fate = routable
		return nil
	case *wire.BasicGet:
		return ch.get(m)
	case *wire.BasicAck:
		return ch.settle(m, m.DeliveryTag, m.Multiple, false, func(d *delivery) { d.queue.acknowledged++ })
	case *wire.BasicNack:
		return ch.reject(m, m.DeliveryTag, m.Multiple, m.Requeue)
	case *wire.BasicReject:
		return ch.reject(m, m.DeliveryTag, false, m.Requeue)
	case *wire.BasicRecover:
		return ch.recover(m.Requeue, &wire.BasicRecoverOK{})
	case *wire.BasicRecoverAsync:
		return ch.recover(m.Requeue, nil)
	case *wire.ConfirmSelect:
		return ch.selectConfirms(m)
	case *wire.AccessRequest:
		ch.send(&wire.AccessRequestOK{Ticket: 1})
		return nil
	case *wire.TxSelect:
		return ch.selectTx()
	case *wire.TxCommit:
		return ch.commit()
	case *wire.TxRollback:
		return ch.rollback()
	}
	return refuse(commandInvalid, "unimplemented method")
}

func (ch *channel) host() *virtualHost { return ch.connection.host }

func (ch *channel) send(m wire.Method) { ch.connection.send(ch.id, m) }

// answer sends m unless the client does not want to know.
func (ch *channel) answer(noWait bool, m wire.Method) {
	if !noWait {
		ch.send(m)
	}
}

// close sends channel.close. Until the client has answered, nothing it sends on the channel counts.
func (ch *channel) close(r *reply, class, method uint16) {
	if ch.closing {
		return
	}
	ch.release()
	ch.closing = true
	ch.send(&wire.ChannelClose{ReplyCode: r.code, ReplyText: r.text, ClassID: class, MethodID: method})
}

// end removes the channel.
func (ch *channel) end() {
	ch.release()
	delete(ch.connection.channels, ch.id)
}

// release ends the consumers and puts back what was not acknowledged, in its old order. What is not confirmed yet never
// will be.
func (ch *channel) release() {
	ch.closing = true // takes no more deliveries
	ch.connection.flowAgain()
	ch.forgetUnconfirmed()
	ch.endReplies()
	ch.unsettle()
	ch.tx = nil
	taken := ch.unacked.takeAll()
	ch.unacked.closed(taken)
	for _, d := range taken {
		d.requeue(lost)
	}
	for _, c := range ch.consumersInOrder() {
		c.queue.remove(c)
	}
	clear(ch.consumers)
}

func (ch *channel) consumersInOrder() []*consumer {
	consumers := make([]*consumer, 0, len(ch.consumers))
	for _, c := range ch.consumers {
		consumers = append(consumers, c)
	}
	slices.SortFunc(consumers, func(a, b *consumer) int { return cmp.Compare(a.number, b.number) })
	return consumers
}

// feed continues deliveries to the channel's consumers. Where they share a prefetch, the one behind the last that was
// served comes first: no queue starves. RabbitMQ draws lots.
func (ch *channel) feed() {
	consumers := ch.consumersInOrder()
	if ch.shared > 0 {
		at, _ := slices.BinarySearchFunc(consumers, ch.served+1, func(c *consumer, n uint64) int { return cmp.Compare(c.number, n) })
		consumers = slices.Concat(consumers[at:], consumers[:at])
	}
	for _, c := range consumers {
		c.queue.touch()
	}
}

// qos sets the prefetch, for consumers to come or, global, of all of the channel's together. Some versions make no
// difference between the two.
func (ch *channel) qos(m *wire.BasicQos) error {
	if m.PrefetchSize != 0 {
		return refuse(notImplemented, "prefetch_size!=0 (%d)", m.PrefetchSize)
	}
	if m.Global && !ch.connection.server.has(versions.QosPerConsumer) {
		ch.shared = int(m.PrefetchCount)
	} else {
		ch.prefetch = int(m.PrefetchCount)
	}
	ch.send(&wire.BasicQosOK{})
	ch.feed()
	return nil
}
