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
