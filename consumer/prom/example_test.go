package prom_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/prom"
	"github.com/everhop/everhop/fsm"
)

func Example() {
	server, err := brokertest.Start(brokertest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	if err := errors.Join(server.DeclareQueue("orders", nil), server.Publish("orders", "a book", "a lamp")); err != nil {
		log.Fatal(err)
	}

	metrics := prom.New(prom.Config{})
	c, err := consumer.New(consumer.Config{
		Name:      "shop",
		URLs:      []string{server.URL()},
		Observers: []func(fsm.Event){metrics.Observe},
		Subscriptions: []consumer.Subscription{{
			Queue:   "orders",
			Handler: func(context.Context, *consumer.Delivery) error { return nil },
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := metrics.Add(c); err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry() // or the default one: prometheus.MustRegister(metrics)
	registry.MustRegister(metrics)
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() {
		_ = server.Await(ctx, func() bool { q, _ := server.Queue("orders"); return q.Ready+q.Unacknowledged == 0 })
		cancel()
	}()
	if err := c.Run(ctx); err != nil {
		log.Fatal(err)
	}

	answer := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "everhop_deliveries_total") && !strings.HasSuffix(lines.Text(), " 0") {
			fmt.Println(lines.Text())
		}
	}
	// Output:
	// everhop_deliveries_total{consumer="shop",outcome="acknowledged",queue="orders"} 2
}
