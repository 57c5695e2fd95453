package broker

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/everhop/everhop/broker/brokertest"
)

// Frames of a message and a channel.open share amqp091-go's buffer: the channel is known all the same.
func TestOpenChannelsWhilePublishing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		endpoints, err := ParseEndpoints(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		p, err := OpenPublisher(t.Context(), Plan{Endpoints: endpoints, Dial: server.Dial})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close(context.Background())
		stop := make(chan struct{})
		for range 4 {
			go func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if c, err := p.Publish(t.Context(), Message{RoutingKey: "q0", Body: []byte("x")}); err == nil {
						_ = c.Wait(t.Context())
					}
				}
			}()
		}
		for i := range 300 {
			if err := p.DeclareQueue(t.Context(), fmt.Sprint("q", i), QueueOptions{}); err != nil {
				t.Error(err)
			}
		}
		close(stop)
	})
}
