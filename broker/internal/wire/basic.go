package wire

// BasicQos limits the deliveries in flight. From the client.
type BasicQos struct {
	PrefetchSize  uint32
	PrefetchCount uint16
	Global        bool
}

// BasicQosOK answers [BasicQos].
type BasicQosOK struct{}

// BasicConsume starts a consumer. From the client.
type BasicConsume struct {
	Reserved1                         uint16
	Queue, ConsumerTag                string
	NoLocal, NoAck, Exclusive, NoWait bool
	Arguments                         Table
}

// BasicConsumeOK answers [BasicConsume].
type BasicConsumeOK struct {
	ConsumerTag string
}

// BasicCancel ends a consumer. From either side.
type BasicCancel struct {
	ConsumerTag string
	NoWait      bool
}

// BasicCancelOK answers [BasicCancel].
type BasicCancelOK struct {
	ConsumerTag string
}

// BasicPublish brings a message, its content follows. From the client.
type BasicPublish struct {
	Reserved1            uint16
	Exchange, RoutingKey string
	Mandatory, Immediate bool
}

// BasicReturn gives a message back that could not be routed, its content follows. From the server.
type BasicReturn struct {
	ReplyCode                       uint16
	ReplyText, Exchange, RoutingKey string
}

// BasicDeliver brings a message to a consumer, its content follows. From the server.
type BasicDeliver struct {
	ConsumerTag          string
	DeliveryTag          uint64
	Redelivered          bool
	Exchange, RoutingKey string
}

// BasicGet asks for one message. From the client.
type BasicGet struct {
	Reserved1 uint16
	Queue     string
	NoAck     bool
}

// BasicGetOK answers [BasicGet] with a message, its content follows.
type BasicGetOK struct {
	DeliveryTag          uint64
	Redelivered          bool
	Exchange, RoutingKey string
	MessageCount         uint32
}

// BasicGetEmpty answers [BasicGet] when there is no message.
type BasicGetEmpty struct {
	Reserved1 string
}

// BasicAck settles deliveries, and from the server confirms what was published.
type BasicAck struct {
	DeliveryTag uint64
	Multiple    bool
}

// BasicReject refuses a delivery. From the client.
type BasicReject struct {
	DeliveryTag uint64
	Requeue     bool
}

// BasicRecoverAsync is [BasicRecover] without an answer.
type BasicRecoverAsync struct {
	Requeue bool
}

// BasicRecover asks for what is not acknowledged again. From the client.
type BasicRecover struct {
	Requeue bool
}

// BasicRecoverOK answers [BasicRecover].
type BasicRecoverOK struct{}

// BasicNack refuses deliveries, and from the server what was published.
type BasicNack struct {
	DeliveryTag       uint64
	Multiple, Requeue bool
}

func (*BasicQos) spec() spec          { return spec{60, 10, "basic.qos"} }
func (*BasicQosOK) spec() spec        { return spec{60, 11, "basic.qos-ok"} }
func (*BasicConsume) spec() spec      { return spec{60, 20, "basic.consume"} }
func (*BasicConsumeOK) spec() spec    { return spec{60, 21, "basic.consume-ok"} }
func (*BasicCancel) spec() spec       { return spec{60, 30, "basic.cancel"} }
func (*BasicCancelOK) spec() spec     { return spec{60, 31, "basic.cancel-ok"} }
func (*BasicPublish) spec() spec      { return spec{60, 40, "basic.publish"} }
func (*BasicReturn) spec() spec       { return spec{60, 50, "basic.return"} }
func (*BasicDeliver) spec() spec      { return spec{60, 60, "basic.deliver"} }
func (*BasicGet) spec() spec          { return spec{60, 70, "basic.get"} }
func (*BasicGetOK) spec() spec        { return spec{60, 71, "basic.get-ok"} }
func (*BasicGetEmpty) spec() spec     { return spec{60, 72, "basic.get-empty"} }
func (*BasicAck) spec() spec          { return spec{60, 80, "basic.ack"} }
func (*BasicReject) spec() spec       { return spec{60, 90, "basic.reject"} }
func (*BasicRecoverAsync) spec() spec { return spec{60, 100, "basic.recover-async"} }
func (*BasicRecover) spec() spec      { return spec{60, 110, "basic.recover"} }
func (*BasicRecoverOK) spec() spec    { return spec{60, 111, "basic.recover-ok"} }
func (*BasicNack) spec() spec         { return spec{60, 120, "basic.nack"} }
