package wire

// ConnectionStart opens the negotiation and offers mechanisms. From the server.
type ConnectionStart struct {
	VersionMajor, VersionMinor uint8
	ServerProperties           Table
	Mechanisms, Locales        []byte // separated by spaces
}

// ConnectionStartOK selects a mechanism and presents the credentials. From the client.
type ConnectionStartOK struct {
	ClientProperties Table
	Mechanism        string
	Response         []byte
	Locale           string
}

// ConnectionSecure asks for another round of the mechanism. From the server.
type ConnectionSecure struct {
	Challenge []byte
}

// ConnectionSecureOK answers [ConnectionSecure].
type ConnectionSecureOK struct {
	Response []byte
}

// ConnectionTune proposes the limits of the connection; 0 is no limit. From the server.
type ConnectionTune struct {
	ChannelMax uint16
	FrameMax   uint32
	Heartbeat  uint16 // seconds
}

// ConnectionTuneOK settles the limits of the connection. From the client.
type ConnectionTuneOK struct {
	ChannelMax uint16
	FrameMax   uint32
	Heartbeat  uint16 // seconds
}

// ConnectionOpen selects a virtual host. From the client.
type ConnectionOpen struct {
	VirtualHost, Reserved1 string
	Reserved2              bool
}

// ConnectionOpenOK answers [ConnectionOpen].
type ConnectionOpenOK struct {
	Reserved1 string
}

// ConnectionClose ends the connection, and names the method that was the reason if one was. From
// either side.
type ConnectionClose struct {
	ReplyCode         uint16
	ReplyText         string
	ClassID, MethodID uint16
}

// ConnectionCloseOK answers [ConnectionClose].
type ConnectionCloseOK struct{}

// ConnectionBlocked says that publishers must wait. From the server.
type ConnectionBlocked struct {
	Reason string
}

// ConnectionUnblocked lifts [ConnectionBlocked].
type ConnectionUnblocked struct{}

// ConnectionUpdateSecret replaces the credentials, for tokens that expire. From the client.
type ConnectionUpdateSecret struct {
	NewSecret []byte
	Reason    string
}

// ConnectionUpdateSecretOK answers [ConnectionUpdateSecret].
type ConnectionUpdateSecretOK struct{}

func (*ConnectionStart) spec() spec          { return spec{10, 10, "connection.start"} }
func (*ConnectionStartOK) spec() spec        { return spec{10, 11, "connection.start-ok"} }
func (*ConnectionSecure) spec() spec         { return spec{10, 20, "connection.secure"} }
func (*ConnectionSecureOK) spec() spec       { return spec{10, 21, "connection.secure-ok"} }
func (*ConnectionTune) spec() spec           { return spec{10, 30, "connection.tune"} }
func (*ConnectionTuneOK) spec() spec         { return spec{10, 31, "connection.tune-ok"} }
func (*ConnectionOpen) spec() spec           { return spec{10, 40, "connection.open"} }
func (*ConnectionOpenOK) spec() spec         { return spec{10, 41, "connection.open-ok"} }
func (*ConnectionClose) spec() spec          { return spec{10, 50, "connection.close"} }
func (*ConnectionCloseOK) spec() spec        { return spec{10, 51, "connection.close-ok"} }
func (*ConnectionBlocked) spec() spec        { return spec{10, 60, "connection.blocked"} }
func (*ConnectionUnblocked) spec() spec      { return spec{10, 61, "connection.unblocked"} }
func (*ConnectionUpdateSecret) spec() spec   { return spec{10, 70, "connection.update-secret"} }
func (*ConnectionUpdateSecretOK) spec() spec { return spec{10, 71, "connection.update-secret-ok"} }
