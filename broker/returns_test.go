package broker_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/rabbittest"
)

func TestPublishUnroutable(t *testing.T) {
	queue, _ := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	confirms := map[string]*broker.Confirm{}
	for range 2 {
		for _, key := range []string{queue, "nowhere"} {
			for i := range 50 {
				confirm, err := p.Publish(within(t), broker.Message{RoutingKey: key})
				if err != nil {
					t.Fatal(err)
				}
				confirms[fmt.Sprint(key, i)] = confirm
			}
		}
		for i := range 50 {
			if err := confirms[fmt.Sprint(queue, i)].Wait(within(t)); err != nil {
				t.Errorf("routable: %v", err)
			}
			if err := confirms[fmt.Sprint("nowhere", i)].Wait(within(t)); !errors.Is(err, broker.ErrUnroutable) {
				t.Errorf("unroutable: %v", err)
			}
		}
	}
}

// Message ids belong to the application and need not be unique: a message that is published to two
// places has the same one in both, and one that is published again may have none.
func TestPublishTellsMessagesOfOneIDApart(t *testing.T) {
	queue, channel := declare(t, nil)
	p := publisher(t, rabbittest.Shared(t).URL())
	for _, m := range []broker.Message{{MessageID: "same"}, {NoMessageID: true}} {
		m.RoutingKey = "nowhere"
		lost, err := p.Publish(within(t), m)
		if err != nil {
			t.Fatal(err)
		}
		m.RoutingKey = queue
		stored, err := p.Publish(within(t), m)
		if err != nil {
			t.Fatal(err)
		}
		if err := stored.Wait(within(t)); err != nil {
			t.Errorf("the stored one: %v", err)
		}
		if err := lost.Wait(within(t)); !errors.Is(err, broker.ErrUnroutable) {
			t.Errorf("the one that was not stored: %v", err)
		}
		got, ok, err := channel.Get(queue, true)
		_, marked := got.Headers[broker.HeaderPublishID]
		if err != nil || !ok || got.MessageId != m.MessageID || marked != m.NoMessageID {
			t.Errorf("got id %q and headers %v, %v", got.MessageId, got.Headers, err)
		}
	}
}
