package rabbittest

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What a quorum queue has confirmed outlives the node that led it, and the queue goes on meanwhile.
func TestClusterOutlivesANode(t *testing.T) {
	NeedsControl(t)
	cluster, err := StartCluster(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, cluster.Stop()) })
	leader, second, third := cluster.Nodes[0], cluster.Nodes[1], cluster.Nodes[2]

	_, channel := dial(t, leader.URL())
	_, err = channel.QueueDeclare("outlives", true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
	must(t, err)
	publish(t, channel, "outlives", "before")
	must(t, leader.Kill())

	connection, _ := dial(t, third.URL())
	Eventually(t, time.Minute, "the queue has another leader, and takes a message", func() bool {
		channel, err := connection.Channel() // one from before is refused by RabbitMQ 3.10 for good
		must(t, err)
		defer channel.Close()
		must(t, channel.Confirm(false))
		confirm, err := channel.PublishWithDeferredConfirm("", "outlives", false, false, amqp.Publishing{Body: []byte("meanwhile")})
		must(t, err)
		return confirm.Wait() // false while the leader is the one that is gone
	})
	_, channel = dial(t, second.URL())
	deliveries, err := channel.Consume("outlives", "", false, false, false, false, nil)
	must(t, err)
	for _, want := range []string{"before", "meanwhile"} {
		got := receive(t, deliveries)
		if string(got.Body) != want {
			t.Errorf("got %q, want %q", got.Body, want)
		}
		must(t, got.Ack(false))
	}

	must(t, leader.Restart(t.Context()))
	_, channel = dial(t, leader.URL())
	publish(t, channel, "outlives", "after")
	if got := receive(t, deliveries); string(got.Body) != "after" {
		t.Errorf("got %q, want what came through the node that is back", got.Body)
	}
}
