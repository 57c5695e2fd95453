package wire

// ChannelOpen opens the channel it comes on. From the client.
type ChannelOpen struct {
	Reserved1 string
}

// ChannelOpenOK answers [ChannelOpen].
type ChannelOpenOK struct {
	Reserved1 []byte
}

// ChannelFlow stops and restarts the flow of messages. From either side.
type ChannelFlow struct {
	Active bool
}

// ChannelFlowOK answers [ChannelFlow].
type ChannelFlowOK struct {
	Active bool
}

// ChannelClose ends the channel, and names the method that was the reason if one was. From either
// side.
type ChannelClose struct {
	ReplyCode         uint16
	ReplyText         string
	ClassID, MethodID uint16
}

// ChannelCloseOK answers [ChannelClose].
type ChannelCloseOK struct{}

func (*ChannelOpen) spec() spec    { return spec{20, 10, "channel.open"} }
func (*ChannelOpenOK) spec() spec  { return spec{20, 11, "channel.open-ok"} }
func (*ChannelFlow) spec() spec    { return spec{20, 20, "channel.flow"} }
func (*ChannelFlowOK) spec() spec  { return spec{20, 21, "channel.flow-ok"} }
func (*ChannelClose) spec() spec   { return spec{20, 40, "channel.close"} }
func (*ChannelCloseOK) spec() spec { return spec{20, 41, "channel.close-ok"} }

// ConfirmSelect makes the server confirm what is published on the channel. From the client.
type ConfirmSelect struct {
	NoWait bool
}

// ConfirmSelectOK answers [ConfirmSelect].
type ConfirmSelectOK struct{}

func (*ConfirmSelect) spec() spec   { return spec{85, 10, "confirm.select"} }
func (*ConfirmSelectOK) spec() spec { return spec{85, 11, "confirm.select-ok"} }

// TxSelect makes the channel transactional. From the client.
type TxSelect struct{}

// TxSelectOK answers [TxSelect].
type TxSelectOK struct{}

// TxCommit ends the transaction and keeps it. From the client.
type TxCommit struct{}

// TxCommitOK answers [TxCommit].
type TxCommitOK struct{}

// TxRollback ends the transaction and drops it. From the client.
type TxRollback struct{}

// TxRollbackOK answers [TxRollback].
type TxRollbackOK struct{}

func (*TxSelect) spec() spec     { return spec{90, 10, "tx.select"} }
func (*TxSelectOK) spec() spec   { return spec{90, 11, "tx.select-ok"} }
func (*TxCommit) spec() spec     { return spec{90, 20, "tx.commit"} }
func (*TxCommitOK) spec() spec   { return spec{90, 21, "tx.commit-ok"} }
func (*TxRollback) spec() spec   { return spec{90, 30, "tx.rollback"} }
func (*TxRollbackOK) spec() spec { return spec{90, 31, "tx.rollback-ok"} }

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
