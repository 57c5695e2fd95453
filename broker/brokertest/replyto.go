package brokertest

import (
	"strings"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// replyTo is the queue that is none: who consumes from it has replies sent to the channel itself, and who publishes with
// it as reply_to has a name put there under which the channel can be reached.
const replyTo = "amq.rabbitmq.reply-to"

// replyConsumer is a channel's consumer of replies.
type replyConsumer struct {
	tag, name string
}

// consumeReplies begins the channel's consumer of replies.
func (ch *channel) consumeReplies(m *wire.BasicConsume) error {
	switch {
	case !m.NoAck:
		return refuse(preconditionFailed, "reply consumer cannot acknowledge")
	case ch.replies != nil:
		return refuse(preconditionFailed, "reply consumer already set")
	}
	s := ch.connection.server
	ch.replies = &replyConsumer{tag: m.ConsumerTag, name: s.replyPrefix + random()}
	s.replies[ch.replies.name] = ch
	ch.answer(m.NoWait, &wire.BasicConsumeOK{ConsumerTag: m.ConsumerTag})
	return nil
}

// endReplies ends it, if there is one.
func (ch *channel) endReplies() {
	if ch.replies != nil {
		delete(ch.connection.server.replies, ch.replies.name)
		ch.replies = nil
	}
}

// declareReplies tells whether somebody consumes replies under a name: a declaration of it, passive or not, is content
// with that, unless it is the channel's own.
func (ch *channel) declareReplies(m *wire.QueueDeclare) error {
	if other := ch.connection.server.replies[m.Queue]; m.Queue != replyTo && (other == nil || other == ch) {
		return ch.host().missing("queue", m.Queue)
	}
	ch.lastQueue = m.Queue
	ch.answer(m.NoWait, &wire.QueueDeclareOK{Queue: m.Queue, ConsumerCount: 1})
	return nil
}

// address puts the name for replies into a message that asks for it.
func (ch *channel) address(msg *message) error {
	if msg.properties.ReplyTo != replyTo {
		return nil
	}
	if ch.replies == nil {
		return refuse(preconditionFailed, "fast reply consumer does not exist")
	}
	msg.properties.ReplyTo = ch.replies.name
	return nil
}

// reply sends a message for the default exchange to those who consume replies under its keys. It tells whether that
// counts as routed: in some versions it does with any name that the broker has made, and in others never.
func (s *Server) reply(msg *message) (routed bool) {
	s.replyUnder(msg.key, msg, &routed)
	for _, key := range msg.cc {
		s.replyUnder(key, msg, &routed)
	}
	for _, key := range msg.bcc {
		s.replyUnder(key, msg, &routed)
	}
	return routed
}

func (s *Server) replyUnder(key string, msg *message, routed *bool) {
	if !strings.HasPrefix(key, s.replyPrefix) {
		return
	}
	queued := s.has(versions.QueuesReplies)
	*routed = *routed || queued
	ch := s.replies[key]
	if ch == nil || ch.closing || !ch.connection.out.roomForDeliveries() { // nobody keeps a reply
		return
	}
	tag := ch.unacked.tag + 1
	if queued {
		ch.unacked.tag = tag
	}
	ch.connection.sendContent(ch.id, &wire.BasicDeliver{
		ConsumerTag: ch.replies.tag, DeliveryTag: tag, Exchange: msg.exchange, RoutingKey: msg.key,
	}, msg, msg.properties)
}
