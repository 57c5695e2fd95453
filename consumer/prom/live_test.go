package prom_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/goleak"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/prom"
	"github.com/everhop/everhop/fsm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scrape is what Prometheus gets, line by line.
func scrape(t testing.TB, c *prom.Collector) []string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Split(text.String(), "\n")
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !slices.Contains(got, line) {
			name, _, _ := strings.Cut(line, " ")
			similar := slices.DeleteFunc(slices.Clone(got), func(l string) bool { return !strings.HasPrefix(l, name+" ") })
			t.Errorf("there is no\n%s\nbut\n%s", line, strings.Join(similar, "\n"))
		}
	}
}

// A consumer that has lived through something is shown as its Status, its Stats and its events tell.
func TestMetricsAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		if err := errors.Join(server.DeclareQueue("orders", nil), server.Publish("orders", "good", "rejected", "parked", "good")); err != nil {
			t.Fatal(err)
		}
		metrics := prom.New(prom.Config{})
		hung := make(chan struct{})
		c, err := consumer.New(consumer.Config{
			Name: "shop", URLs: []string{server.URL()}, Dial: server.Dial, Observers: []func(fsm.Event){metrics.Observe},
			Subscriptions: []consumer.Subscription{{
				Queue: "orders",
				Handler: func(_ context.Context, d *consumer.Delivery) error {
					switch string(d.Body) {
					case "rejected":
						return consumer.Reject
					case "parked":
						return consumer.Permanent(errors.New("bad"))
					case "hung":
						<-hung
					}
					time.Sleep(20 * time.Millisecond)
					return nil
				},
			}, {
				Queue: "", Declare: &broker.QueueOptions{Exclusive: true}, Handler: func(context.Context, *consumer.Delivery) error { return nil },
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := metrics.Add(c); err != nil {
			t.Fatal(err)
		}
		wantLines(t, scrape(t, metrics),
			`everhop_consumer_state{consumer="shop",state="Disconnected"} 1`,
			`everhop_consumer_ready{consumer="shop"} 0`,
			`everhop_consumer_reason{consumer="shop",reason="not_started"} 1`,
			`everhop_connection_up{consumer="shop"} 0`)
		ended := make(chan error, 1)
		go func() { ended <- c.Run(t.Context()) }()
		time.Sleep(10 * time.Second)
		server.Inject(brokertest.Now(), brokertest.Reset())
		time.Sleep(10 * time.Second)
		if err := server.Publish("orders", "hung"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		lines, s := scrape(t, metrics), c.Stats()
		if s.Acknowledged != 2 || s.Rejected != 1 || s.Parked != 1 {
			t.Errorf("%+v", s)
		}
		wantLines(t, lines,
			`everhop_consumer_ready{consumer="shop"} 1`,
			`everhop_consumer_alive{consumer="shop"} 1`,
			`everhop_connection_up{consumer="shop"} 1`,
			fmt.Sprintf(`everhop_deliveries_total{consumer="shop",outcome="acknowledged",queue="orders"} %d`, s.Acknowledged),
			fmt.Sprintf(`everhop_deliveries_total{consumer="shop",outcome="rejected",queue="orders"} %d`, s.Rejected),
			fmt.Sprintf(`everhop_deliveries_total{consumer="shop",outcome="parked",queue="orders"} %d`, s.Parked),
			fmt.Sprintf(`everhop_handler_failures_total{consumer="shop",queue="orders"} %d`, s.Failed),
			`everhop_handler_duration_seconds_count{consumer="shop",queue="orders"} 4`,
			`everhop_handler_duration_seconds_bucket{consumer="shop",queue="orders",le="0.01"} 2`,
			`everhop_handler_duration_seconds_bucket{consumer="shop",queue="orders",le="0.025"} 4`,
			`everhop_deliveries_in_flight{consumer="shop",queue="orders"} 1`,
			`everhop_oldest_in_flight_seconds{consumer="shop",queue="orders"} 10`,
			`everhop_subscriptions{consumer="shop",doing="consuming",queue="(temporary)"} 1`,
			`everhop_prefetch{consumer="shop",queue="orders"} 64`,
			`everhop_consumer_outages_total{consumer="shop"} 1`,
			`everhop_consumer_recoveries_total{class="network",consumer="shop"} 1`,
			`everhop_consumer_outage_duration_seconds_count{consumer="shop"} 1`,
			`everhop_consumer_transitions_total{consumer="shop",from="Disconnected",to="Connecting",trigger="Connect"} 1`,
			`everhop_published_total{outcome="confirmed",publisher="shop (publishing)"} 1`)
		if err := c.Subscription("orders").Pause(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wantLines(t, scrape(t, metrics),
			`everhop_subscriptions{consumer="shop",doing="paused",queue="orders"} 1`,
			`everhop_subscriptions{consumer="shop",doing="consuming",queue="orders"} 0`,
			`everhop_consumer_reason{consumer="shop",reason="paused"} 1`)
		close(hung)
		if err := c.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		wantLines(t, scrape(t, metrics), `everhop_consumer_state{consumer="shop",state="Disconnected"} 1`,
			`everhop_consumer_reason{consumer="shop",reason="stopped"} 1`)
	})
}

// All that says who connects as what stays inside.
func TestNoSecrets(t *testing.T) {
	metrics := prom.New(prom.Config{})
	c, err := consumer.New(consumer.Config{
		URLs: []string{"amqp://somebody:geheim@broker.invalid:5672/"},
		Subscriptions: []consumer.Subscription{{
			Queue: "orders", Handler: func(context.Context, *consumer.Delivery) error { return nil },
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := metrics.Add(c); err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile("somebody|geheim").FindString(strings.Join(scrape(t, metrics), "\n")); found != "" {
		t.Errorf("%s is shown", found)
	}
}
