package health_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/fsm"
)

// A consumer that is shown on loopback.
func Example() {
	broker, err := brokertest.Start(brokertest.Config{}) // a broker in this process
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close()
	if err := broker.DeclareQueue("orders", nil); err != nil {
		log.Fatal(err)
	}

	events := health.NewEvents()
	consuming := make(chan struct{}, 1)
	c, err := consumer.New(consumer.Config{
		URLs: []string{broker.URL()},
		Observers: []func(fsm.Event){events.Observe, func(e fsm.Event) {
			if e.Trigger == consumer.Connected {
				consuming <- struct{}{}
			}
		}},
		Subscriptions: []consumer.Subscription{{
			Queue:   "orders",
			Handler: func(context.Context, *consumer.Delivery) error { return nil },
		}},
	})
	if err != nil {
		log.Fatal(err)
	}

	page := health.New(c, events, health.Options{ReadyWhile: []string{consumer.ReasonPaused}})
	server := &http.Server{Handler: page, ReadHeaderTimeout: 5 * time.Second}
	server.RegisterOnShutdown(page.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0") // port 9090, say
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()

	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	<-consuming

	response, err := http.Get("http://" + listener.Addr().String() + "/readyz?verbose")
	if err != nil {
		log.Fatal(err)
	}
	text, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	fmt.Print(response.Status, "\n", string(text))

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	if err := server.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// 200 OK
	// [+]not_started ok
	// [+]connecting ok
	// [+]reviving ok
	// [+]stopping ok
	// [+]stopped ok
	// [+]paused excluded: ok
	// [+]breaker ok
	// [+]apart ok
	// [+]given_up ok
	// readyz check passed
}
