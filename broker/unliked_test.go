package broker_test

import (
	"reflect"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

// TestMessagesThatEndOtherConnections: what amqp091-go ends the connection for is a message like any other, and
// those behind and beside it come, too.
func TestMessagesThatEndOtherConnections(t *testing.T) {
	deep, long := any("bottom"), make([]any, 20_000)
	for range 40 {
		deep = []any{deep}
	}
	for i := range long {
		long[i] = int16(i)
	}
	large := strings.Repeat("x", 130_900)
	for name, headers := range map[string]map[string]any{
		"a header frame above frame_max": {"large": large}, // with x-death on top
		"nested 40 deep":                 {"deep": deep},
		"a list of 20,000":               {"long": long},
	} {
		t.Run(name, func(t *testing.T) {
			deadLetter := t.Name() + "-source"
			target, beside := keep(t, classic), queue(t)
			beside.Queue += "-beside"
			channel := raw(t)
			if _, err := channel.QueueDeclare(deadLetter, false, true, false, false, amqp.Table{
				"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target.Queue, "x-message-ttl": 0,
			}); err != nil {
				t.Fatal(err)
			}
			publish(t, "", deadLetter, amqp.Publishing{Body: []byte("unliked"), Headers: headers})
			s := open(t, planFor(t, rabbittest.Shared(t).URL(), target, beside))
			c, other := consume(t, s, 0), consume(t, s, 1)
			d := receive(t, c)
			if string(d.Body) != "unliked" || d.Unreadable != nil || d.Headers["x-first-death-queue"] != deadLetter {
				t.Errorf("got %d bytes of body, unreadable: %v", len(d.Body), d.Unreadable)
			}
			for key, want := range headers {
				if !reflect.DeepEqual(d.Headers[key], want) {
					t.Errorf("the header %q came back different", key)
				}
			}
			publish(t, "", target.Queue, amqp.Publishing{Body: []byte("behind")})
			publish(t, "", beside.Queue, amqp.Publishing{Body: []byte("beside")})
			for consumer, body := range map[*broker.Consumer]string{c: "behind", other: "beside"} {
				d := receive(t, consumer)
				if string(d.Body) != body {
					t.Errorf("got %q, want %q", d.Body, body)
				}
				if err := consumer.AckUpTo(d.DeliveryTag); err != nil {
					t.Error(err)
				}
			}
			wantNoLoss(t, s)
		})
	}
}
