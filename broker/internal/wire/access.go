package wire

// AccessRequest asks for access to a realm, which AMQP 0-9-1 no longer has. From old clients.
type AccessRequest struct {
	Realm     string
	Exclusive bool
	Passive   bool
	Active    bool
	Write     bool
	Read      bool
}

// AccessRequestOK answers [AccessRequest].
type AccessRequestOK struct {
	Ticket uint16
}

func (*AccessRequest) spec() spec   { return spec{30, 10, "access.request"} }
func (*AccessRequestOK) spec() spec { return spec{30, 11, "access.request-ok"} }
