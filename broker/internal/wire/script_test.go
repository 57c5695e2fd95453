package wire

import "net"

// sent is a method as the client sent it, with its content if it carries one.
type sent struct {
	Channel uint16
	Method  Method
	Header  *Header
	Body    []byte
}

// script is the server's side of a conversation: it notes down what the client sends, and answers.
type script struct {
	conn   net.Conn
	reader *Reader
	said   []sent
}

// run ends when the client has closed the connection.
func (s *script) run() error {
	if _, err := s.reader.ProtocolHeader(); err != nil {
		return err
	}
	s.send(0, &ConnectionStart{
		VersionMinor: 9, ServerProperties: Table{"product": "script", "capabilities": Table{"basic.nack": true}},
		Mechanisms: []byte("PLAIN AMQPLAIN"), Locales: []byte("en_US"),
	})
	for {
		f, err := s.reader.Next()
		if err != nil {
			return err
		}
		if f.Type == FrameHeartbeat {
			continue
		}
		m, err := ParseMethod(f.Payload)
		if err != nil {
			return err
		}
		in := sent{Channel: f.Channel, Method: m}
		if _, ok := m.(*BasicPublish); ok {
			if in.Header, in.Body, err = s.content(); err != nil {
				return err
			}
		}
		s.said = append(s.said, in)
		s.answer(in)
		if _, ok := m.(*ConnectionClose); ok {
			return nil
		}
	}
}

func (s *script) content() (*Header, []byte, error) {
	f, err := s.reader.Next()
	if err != nil {
		return nil, nil, err
	}
	h, err := ParseHeader(f.Payload)
	if err != nil {
		return nil, nil, err
	}
	var body []byte
	for uint64(len(body)) < h.BodySize {
		if f, err = s.reader.Next(); err != nil {
			return nil, nil, err
		}
		body = append(body, f.Payload...)
	}
	return &h, body, nil
}

func (s *script) send(channel uint16, m Method) {
	s.write(AppendFrame(nil, Frame{Type: FrameMethod, Channel: channel, Payload: AppendMethod(nil, m)}))
}

func (s *script) sendContent(channel uint16, m Method, p Properties, body []byte) {
	s.write(AppendContent(nil, channel, m, Header{Properties: p}, body, FrameMinSize))
}

// write leaves it to the next read to fail.
func (s *script) write(b []byte) { _, _ = s.conn.Write(b) }

func (s *script) answer(in sent) {
	reply := func(m Method) { s.send(in.Channel, m) }
	switch m := in.Method.(type) {
	case *ConnectionStartOK:
		reply(&ConnectionTune{ChannelMax: 100, FrameMax: FrameMinSize, Heartbeat: 60})
	case *ConnectionTuneOK:
		s.reader.SetLimit(m.FrameMax)
	case *ConnectionOpen:
		reply(&ConnectionOpenOK{})
	case *ConnectionUpdateSecret:
		reply(&ConnectionBlocked{Reason: "low on memory"})
		reply(&ConnectionUnblocked{})
		reply(&ConnectionUpdateSecretOK{})
	case *ConnectionClose:
		reply(&ConnectionCloseOK{})
	case *ChannelOpen:
		reply(&ChannelOpenOK{})
	case *ChannelFlow:
		reply(&ChannelFlowOK{Active: m.Active})
	case *ChannelClose:
		reply(&ChannelCloseOK{})
	case *ExchangeDeclare:
		reply(&ExchangeDeclareOK{})
	case *ExchangeDelete:
		reply(&ExchangeDeleteOK{})
	case *ExchangeBind:
		reply(&ExchangeBindOK{})
	case *ExchangeUnbind:
		reply(&ExchangeUnbindOK{})
	case *QueueDeclare:
		if m.Passive {
			reply(&ChannelClose{ReplyCode: 404, ReplyText: "NOT_FOUND", ClassID: 50, MethodID: 10})
			return
		}
		reply(&QueueDeclareOK{Queue: m.Queue, MessageCount: 3, ConsumerCount: 4})
	case *QueueBind:
		reply(&QueueBindOK{})
	case *QueueUnbind:
		reply(&QueueUnbindOK{})
	case *QueuePurge:
		reply(&QueuePurgeOK{MessageCount: 5})
	case *QueueDelete:
		reply(&QueueDeleteOK{MessageCount: 6})
	case *BasicQos:
		reply(&BasicQosOK{})
	case *BasicConsume:
		reply(&BasicConsumeOK{ConsumerTag: m.ConsumerTag})
		s.sendContent(in.Channel, &BasicDeliver{
			ConsumerTag: m.ConsumerTag, DeliveryTag: 1<<40 + 1, Redelivered: true, Exchange: "ex", RoutingKey: "key",
		}, messageProperties(), longBody())
	case *BasicCancel:
		reply(&BasicCancelOK{ConsumerTag: m.ConsumerTag})
	case *BasicGet:
		if m.NoAck {
			reply(&BasicGetEmpty{})
			return
		}
		s.sendContent(in.Channel, &BasicGetOK{DeliveryTag: 2, Exchange: "ex", RoutingKey: "key", MessageCount: 9},
			messageProperties(), nil)
	case *BasicPublish:
		if m.Mandatory {
			s.sendContent(in.Channel, &BasicReturn{
				ReplyCode: 312, ReplyText: "NO_ROUTE", Exchange: m.Exchange, RoutingKey: m.RoutingKey,
			}, in.Header.Properties, in.Body)
			reply(&BasicAck{DeliveryTag: 1})
		}
	case *BasicRecover:
		reply(&BasicRecoverOK{})
	case *ConfirmSelect:
		reply(&ConfirmSelectOK{})
	case *TxSelect:
		reply(&TxSelectOK{})
	case *TxCommit:
		reply(&TxCommitOK{})
	case *TxRollback:
		reply(&TxRollbackOK{})
	}
}
