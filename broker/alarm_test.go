package broker

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/wire"
)

// What tells of an alarm is taken out, wherever the reads cut it, and amqp091-go gets all else unchanged.
func TestAlarmsOffTheWire(t *testing.T) {
	longest := strings.Repeat("r", 255)
	for _, tt := range []struct {
		name   string
		alarms []wire.Method
		want   alarm
	}{
		{"blocked", []wire.Method{&wire.ConnectionBlocked{Reason: "low on memory"}}, alarm{true, "low on memory"}},
		{"without a reason", []wire.Method{&wire.ConnectionBlocked{}}, alarm{active: true}},
		{"with the longest one", []wire.Method{&wire.ConnectionBlocked{Reason: longest}}, alarm{true, longest}},
		{"the last counts", []wire.Method{&wire.ConnectionBlocked{Reason: "x"}, &wire.ConnectionUnblocked{}}, alarm{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := method(nil, 0, &wire.ConnectionTune{FrameMax: 1})
			behind := method(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameHeartbeat}), 3, &wire.BasicQosOK{})
			stream := bytes.Clone(before)
			for _, m := range tt.alarms {
				stream = method(stream, 0, m)
			}
			stream = append(stream, behind...)
			for cut := 1; cut <= len(stream); cut++ {
				d := newDemux(&feed{left: bytes.Clone(stream), cut: func() int { return cut }})
				passed, err := io.ReadAll(d)
				if err != nil || !bytes.Equal(passed, append(bytes.Clone(before), behind...)) {
					t.Fatalf("cut %d: %v, amqp091-go gets %x", cut, err, passed)
				}
				if got := <-d.alarms; got != tt.want {
					t.Fatalf("cut %d: %+v", cut, got)
				}
			}
		})
	}
}

// One that is not as it should be ends the connection.
func TestAlarmsMalformed(t *testing.T) {
	blocked := "\x00\x0a\x00\x3c"
	for name, payload := range map[string]string{
		"no reason": blocked, "half of one": blocked + "\x05abc", "more than one": blocked + "\x01ab", "too long": blocked + strings.Repeat("\xff", 300),
	} {
		d := newDemux(&feed{left: wire.AppendFrame(nil, wire.Frame{Type: wire.FrameMethod, Payload: []byte(payload)}), cut: whole})
		if passed, err := io.ReadAll(d); !errors.Is(err, amqp.ErrSyntax) || len(passed) > 0 || len(d.alarms) > 0 {
			t.Errorf("%s: %v, %x, %d alarms", name, err, passed, len(d.alarms))
		}
	}
}
