package broker_test

import (
	"context"
	"fmt"
	"log"

	"github.com/everhop/everhop/broker"
)

func ExampleParseEndpoint() {
	e, err := broker.ParseEndpoint("amqps://user:secret@rabbit.example:5671/orders")
	fmt.Println(e, err)
	_, err = broker.ParseEndpoint("amqp://user:sec/ret@rabbit.example")
	fmt.Println(err)
	// Output:
	// rabbit.example:5671 <nil>
	// broker: bad URL: it cannot be read as amqp[s]://user:password@host:port/vhost; characters such as / ? # @ : in user, password or vhost must be percent-encoded
}

// Credentials from a file are read anew at each dial.
func ExamplePasswordFile() {
	endpoint, err := broker.ParseEndpoint("amqps://rabbit.example/orders")
	if err != nil {
		log.Fatal(err)
	}
	_ = broker.Plan{
		Endpoints:   []broker.Endpoint{endpoint},
		Credentials: broker.PasswordFile("orders-consumer", "/run/secrets/rabbitmq-password"),
		TLS:         broker.TLSFiles{CA: "/etc/ssl/rabbit-ca.pem"}.Load,
	}
}

// Credentials of any origin: asked for before each dial, so that a lease that ended is renewed.
func ExampleNewCredentials() {
	lease := func(context.Context) (user, password string, err error) { return "orders-7f3a", "hvs.CAES", nil }
	var provide broker.CredentialsFunc = func(ctx context.Context) (broker.Credentials, error) {
		user, password, err := lease(ctx)
		return broker.NewCredentials(user, password), err
	}
	credentials, err := provide(context.Background())
	fmt.Println(credentials, err)
	// Output: orders-7f3a:*** <nil>
}

func ExamplePublisher() {
	ctx := context.Background()
	endpoint, err := broker.ParseEndpoint("amqp://guest:guest@localhost:5672/")
	if err != nil {
		log.Fatal(err)
	}
	p, err := broker.OpenPublisher(ctx, broker.Plan{Endpoints: []broker.Endpoint{endpoint}})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = p.Close(ctx) }()
	confirm, err := p.Publish(ctx, broker.Message{RoutingKey: "orders", Body: []byte("one")})
	if err != nil {
		log.Fatal(err)
	}
	if err := confirm.Wait(ctx); err != nil { // broker.ErrUnroutable, broker.ErrRefused, a *broker.Error
		log.Fatal(err)
	}
}

// One generation by hand: what the consumer package does for you, again after each loss.
func ExampleSession() {
	ctx := context.Background()
	endpoint, err := broker.ParseEndpoint("amqp://guest:guest@localhost:5672/")
	if err != nil {
		log.Fatal(err)
	}
	s, err := broker.Open(ctx, broker.Plan{
		Endpoints:     []broker.Endpoint{endpoint},
		Subscriptions: []broker.Subscription{{Queue: "orders", Prefetch: 10}},
	}, 1, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Abort()
	c, err := s.Consume(ctx, 0, broker.Intake{})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for l := range s.Losses() {
			log.Print(l.Err)
		}
	}()
	for {
		d, ok := c.Receive(ctx.Done())
		if !ok {
			return
		}
		fmt.Printf("%s\n", d.Body)
		if err := c.Ack(d.DeliveryTag); err != nil {
			log.Print(err) // the broker delivers it again
		}
	}
}
