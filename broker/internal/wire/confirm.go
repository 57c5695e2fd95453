package wire

// ConfirmSelect makes the server confirm what is published on the channel. From the client.
type ConfirmSelect struct {
	NoWait bool
}

// ConfirmSelectOK answers [ConfirmSelect].
type ConfirmSelectOK struct{}

func (*ConfirmSelect) spec() spec   { return spec{85, 10, "confirm.select"} }
func (*ConfirmSelectOK) spec() spec { return spec{85, 11, "confirm.select-ok"} }
