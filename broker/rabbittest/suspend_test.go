package rabbittest

import (
	"context"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A queue whose process is suspended confirms nothing, the one beside it does, and what was sent is not lost.
func TestSuspendQueue(t *testing.T) {
	NeedsControl(t)
	node := Shared(t)
	for _, kind := range []string{"classic", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			suspended, healthy := "suspended."+kind, "healthy."+kind
			_, channel := dial(t, node.URL())
			for _, queue := range []string{suspended, healthy} {
				_, err := channel.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": kind})
				must(t, err)
				publish(t, channel, queue, "before")
			}
			must(t, node.SuspendQueue(t.Context(), suspended))
			confirm, err := channel.PublishWithDeferredConfirm("", suspended, false, false, amqp.Publishing{Body: []byte("meanwhile")})
			must(t, err)
			publish(t, channel, healthy, "meanwhile")
			soon, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if ok, err := confirm.WaitContext(soon); err == nil {
				t.Errorf("the suspended queue has answered: %v", ok)
			}
			must(t, node.ResumeQueue(t.Context(), suspended))
			if ok, err := confirm.WaitContext(t.Context()); !ok || err != nil {
				t.Errorf("after it was resumed: %v, %v", ok, err)
			}
			for _, queue := range []string{suspended, healthy} {
				count, err := channel.QueueDelete(queue, false, false, false)
				must(t, err)
				if kind == "classic" && count != 2 { // a quorum queue counts none
					t.Errorf("%d messages were in %s, want 2", count, queue)
				}
			}
			if err := node.SuspendQueue(t.Context(), "missing"); err == nil {
				t.Error("a queue that does not exist was suspended")
			}
		})
	}
}

// A frozen node answers nothing, and goes on where it was.
func TestFreezeNode(t *testing.T) {
	NeedsControl(t)
	node, err := Start(t.Context())
	must(t, err)
	defer func() { must(t, node.Stop()) }()
	_, channel := dial(t, node.URL())
	_, err = channel.QueueDeclare("frozen", true, false, false, false, nil)
	must(t, err)
	publish(t, channel, "frozen", "before")
	must(t, node.Freeze())
	if _, err := node.greet(t.Context()); err == nil {
		t.Error("a frozen node answers")
	}
	must(t, node.Thaw())
	publish(t, channel, "frozen", "after")
}
