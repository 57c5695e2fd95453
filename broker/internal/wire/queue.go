package wire

// QueueDeclare creates a queue, or with Passive checks that it exists. From the client.
type QueueDeclare struct {
	Reserved1                                       uint16
	Queue                                           string
	Passive, Durable, Exclusive, AutoDelete, NoWait bool
	Arguments                                       Table
}

// QueueDeclareOK answers [QueueDeclare].
type QueueDeclareOK struct {
	Queue                       string
	MessageCount, ConsumerCount uint32
}

// QueueBind makes messages flow from an exchange to a queue. From the client.
type QueueBind struct {
	Reserved1                   uint16
	Queue, Exchange, RoutingKey string
	NoWait                      bool
	Arguments                   Table
}

// QueueBindOK answers [QueueBind].
type QueueBindOK struct{}

// QueuePurge drops the messages that are ready. From the client.
type QueuePurge struct {
	Reserved1 uint16
	Queue     string
	NoWait    bool
}

// QueuePurgeOK answers [QueuePurge].
type QueuePurgeOK struct {
	MessageCount uint32
}

// QueueDelete deletes a queue. From the client.
type QueueDelete struct {
	Reserved1                 uint16
	Queue                     string
	IfUnused, IfEmpty, NoWait bool
}

// QueueDeleteOK answers [QueueDelete].
type QueueDeleteOK struct {
	MessageCount uint32
}

// QueueUnbind undoes [QueueBind]. From the client.
type QueueUnbind struct {
	Reserved1                   uint16
	Queue, Exchange, RoutingKey string
	Arguments                   Table
}

// QueueUnbindOK answers [QueueUnbind].
type QueueUnbindOK struct{}

func (*QueueDeclare) spec() spec   { return spec{50, 10, "queue.declare"} }
func (*QueueDeclareOK) spec() spec { return spec{50, 11, "queue.declare-ok"} }
func (*QueueBind) spec() spec      { return spec{50, 20, "queue.bind"} }
func (*QueueBindOK) spec() spec    { return spec{50, 21, "queue.bind-ok"} }
func (*QueuePurge) spec() spec     { return spec{50, 30, "queue.purge"} }
func (*QueuePurgeOK) spec() spec   { return spec{50, 31, "queue.purge-ok"} }
func (*QueueDelete) spec() spec    { return spec{50, 40, "queue.delete"} }
func (*QueueDeleteOK) spec() spec  { return spec{50, 41, "queue.delete-ok"} }
func (*QueueUnbind) spec() spec    { return spec{50, 50, "queue.unbind"} }
func (*QueueUnbindOK) spec() spec  { return spec{50, 51, "queue.unbind-ok"} }
