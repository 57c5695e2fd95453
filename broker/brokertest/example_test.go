package brokertest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/brokertest"
)

// A handler gets its messages without a publisher, and what it made of them is read off the broker. In a
// test, NewServer(t) starts the broker and closes it.
func Example() {
	server, err := brokertest.Start(brokertest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	_ = server.DeclareQueue("orders", nil)
	_ = server.Publish("orders", "tea", "poison", "coffee")

	conn, err := amqp.Dial(server.URL())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ch, _ := conn.Channel()
	orders, _ := ch.Consume("orders", "", false, false, false, false, nil)
	go func() {
		for order := range orders {
			if string(order.Body) == "poison" {
				_ = order.Reject(false)
			} else {
				_ = order.Ack(false)
			}
		}
	}()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = server.Await(ctx, func() bool {
		q, _ := server.Queue("orders")
		return q.Acknowledged+q.Rejected == 3
	})
	for _, s := range server.Settlements() {
		fmt.Printf("%s %s\n", s.Method, s.Body)
	}
	// Output:
	// basic.ack tea
	// basic.reject poison
	// basic.ack coffee
}

// A fault comes at an exact place of the conversation: here the broker never learns of the second
// acknowledgement, and delivers that message again.
func ExampleServer_Inject() {
	server, err := brokertest.Start(brokertest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	_ = server.DeclareQueue("orders", nil)
	_ = server.Publish("orders", "tea", "coffee")
	lost := server.Inject(brokertest.OnMethod("basic.ack", 2), brokertest.Reset()).Played

	consume := func() (orders <-chan amqp.Delivery, end func() error) {
		conn, err := amqp.Dial(server.URL())
		if err != nil {
			log.Fatal(err)
		}
		ch, _ := conn.Channel()
		orders, _ = ch.Consume("orders", "", false, false, false, false, nil)
		return orders, conn.Close
	}
	orders, _ := consume()
	_ = (<-orders).Ack(false)
	_ = (<-orders).Ack(false)
	<-lost

	orders, end := consume()
	order := <-orders
	fmt.Printf("%s, redelivered: %t\n", order.Body, order.Redelivered)
	_ = end()
	// Output: coffee, redelivered: true
}

// In a testing/synctest bubble time is synthetic: a client and a broker that has fallen silent need not be
// waited for. This is a test and no Example because only a test can make a bubble.
func TestSyntheticTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		conn, err := amqp.DialConfig(server.URL(), amqp.Config{
			Heartbeat: 10 * time.Second,
			Dial:      func(network, addr string) (net.Conn, error) { return server.Dial(t.Context(), network, addr) },
		})
		if err != nil {
			t.Fatal(err)
		}
		lost := conn.NotifyClose(make(chan *amqp.Error, 1))
		synctest.Wait() // from now on the client listens for heartbeats
		if _, err := conn.Channel(); err != nil {
			t.Fatal(err)
		}

		began := time.Now()
		server.Inject(brokertest.Now(), brokertest.Freeze(brokertest.Both))
		if err := <-lost; err == nil || errors.Is(err, amqp.ErrClosed) {
			t.Errorf("lost with %v", err)
		}
		if took := time.Since(began); took < 10*time.Second || took > 40*time.Second {
			t.Errorf("noticed after %v", took)
		}
	})
}
