package wire

// ExchangeDeclare creates an exchange, or with Passive checks that it exists. From the client.
type ExchangeDeclare struct {
	Reserved1                                      uint16
	Exchange, Type                                 string
	Passive, Durable, AutoDelete, Internal, NoWait bool
	Arguments                                      Table
}

// ExchangeDeclareOK answers [ExchangeDeclare].
type ExchangeDeclareOK struct{}

// ExchangeDelete deletes an exchange. From the client.
type ExchangeDelete struct {
	Reserved1        uint16
	Exchange         string
	IfUnused, NoWait bool
}

// ExchangeDeleteOK answers [ExchangeDelete].
type ExchangeDeleteOK struct{}

// ExchangeBind makes messages flow from one exchange to another. From the client.
type ExchangeBind struct {
	Reserved1                       uint16
	Destination, Source, RoutingKey string
	NoWait                          bool
	Arguments                       Table
}

// ExchangeBindOK answers [ExchangeBind].
type ExchangeBindOK struct{}

// ExchangeUnbind undoes [ExchangeBind]. From the client.
type ExchangeUnbind struct {
	Reserved1                       uint16
	Destination, Source, RoutingKey string
	NoWait                          bool
	Arguments                       Table
}

// ExchangeUnbindOK answers [ExchangeUnbind]. Its number is 51, not the 41 one would expect.
type ExchangeUnbindOK struct{}

func (*ExchangeDeclare) spec() spec   { return spec{40, 10, "exchange.declare"} }
func (*ExchangeDeclareOK) spec() spec { return spec{40, 11, "exchange.declare-ok"} }
func (*ExchangeDelete) spec() spec    { return spec{40, 20, "exchange.delete"} }
func (*ExchangeDeleteOK) spec() spec  { return spec{40, 21, "exchange.delete-ok"} }
func (*ExchangeBind) spec() spec      { return spec{40, 30, "exchange.bind"} }
func (*ExchangeBindOK) spec() spec    { return spec{40, 31, "exchange.bind-ok"} }
func (*ExchangeUnbind) spec() spec    { return spec{40, 40, "exchange.unbind"} }
func (*ExchangeUnbindOK) spec() spec  { return spec{40, 51, "exchange.unbind-ok"} }
