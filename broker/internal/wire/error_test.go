package wire

import "testing"

func TestErrorTexts(t *testing.T) {
	_, syntax := ParseMethod([]byte("\x00\x3c\x00\x50\x00\x00"))
	_, unknown := ParseMethod([]byte("\x00\x46\x00\x0a"))
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&FrameError{Kind: FrameTooLarge, Header: [7]byte{3, 0, 1, 0, 0, 0x0f, 0xf9}, Size: 4089, Limit: 4088},
			"wire: frame too large: header 03 00 01 00 00 0f f9, payload of 4089 with a limit of 4088"},
		{syntax, "wire: basic.ack: long long needs 8 bytes, 2 are left"},
		{unknown, "wire: unknown method 10 of class 70"},
		{Validate(Table{"a": []any{Table{"b": uint64(1)}}}), `wire: a table cannot hold a uint64, at "b", at "a"`},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}
