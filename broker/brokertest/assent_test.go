package brokertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/internal/wire"
)

// The second of five messages meets the fault.
func TestAssent(t *testing.T) {
	for _, test := range []struct {
		fault   Fault
		answers string
	}{
		{Withhold(), "1 3 4 5"},
		{ConfirmAfter(time.Second), "1 3 4 5 2"},
		{ConfirmTogether(1), "1 2 3 4 5"},
		{ConfirmTogether(2), "1 3m 4 5"},
		{ConfirmTogether(4), "1 5m"},
		{ConfirmTogether(9), "1"},
	} {
		t.Run(test.fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewInMemoryServer(t)
				ok(t, s.DeclareQueue("q", nil))
				p := join(t, s)
				p.send(1, &wire.ConfirmSelect{})
				want[*wire.ConfirmSelectOK](p)
				s.Inject(OnMethod("basic.publish", 2), test.fault)
				for range 5 {
					p.publish(1, "q", "x")
				}
				var answers []string
				time.AfterFunc(2*time.Second, func() { s.Inject(Now(), CloseConnection(320, "")) })
				for {
					f, err := p.frame()
					ok(t, err)
					if f.Type != wire.FrameMethod {
						continue
					}
					m, err := wire.ParseMethod(f.Payload)
					ok(t, err)
					ack, acked := m.(*wire.BasicAck)
					if !acked {
						break
					}
					answers = append(answers, fmt.Sprint(ack.DeliveryTag)+map[bool]string{true: "m"}[ack.Multiple])
				}
				if got := strings.Join(answers, " "); got != test.answers {
					t.Errorf("confirmed %q, want %q", got, test.answers)
				}
				if q := stateOf(t, s, "q"); q.Ready != 5 {
					t.Errorf("%d messages are there", q.Ready)
				}
			})
		})
	}
}

// What is nacked among those that are confirmed together is nacked at once.
func TestConfirmTogetherNack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewInMemoryServer(t)
		ok(t, s.DeclareQueue("q", nil))
		p := join(t, s)
		p.send(1, &wire.ConfirmSelect{})
		want[*wire.ConfirmSelectOK](p)
		s.Inject(OnMethod("basic.publish", 1), ConfirmTogether(3))
		s.Inject(OnMethod("basic.publish", 2), Nack())
		for range 3 {
			p.publish(1, "q", "x")
		}
		nack := want[*wire.BasicNack](p)
		ack := want[*wire.BasicAck](p)
		if got := []uint64{nack.DeliveryTag, ack.DeliveryTag}; !slices.Equal(got, []uint64{2, 3}) || !ack.Multiple {
			t.Errorf("got %v, %+v", got, ack)
		}
	})
}
