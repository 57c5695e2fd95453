package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

func offset(of any) func(*consumer.Config, *consumer.Subscription) {
	return func(_ *consumer.Config, s *consumer.Subscription) { s.Stream = &consumer.Stream{Offset: of} }
}

// Each flag lands in its field, and nowhere else.
func TestConsumeConfig(t *testing.T) {
	tests := []struct {
		name  string
		flags string
		want  func(*consumer.Config, *consumer.Subscription)
	}{
		{"none", "", func(*consumer.Config, *consumer.Subscription) {}},
		{"urls", "--url amqp://b,amqps://c --url amqp://d", func(c *consumer.Config, _ *consumer.Subscription) {
			c.URLs = []string{"amqp://a", "amqp://b", "amqps://c", "amqp://d"}
		}},
		{"queue", "--queue orders", func(_ *consumer.Config, s *consumer.Subscription) { s.Queue = "orders" }},
		{"declare", "--declare", func(_ *consumer.Config, s *consumer.Subscription) {
			s.Declare = &broker.QueueOptions{Durable: true}
		}},
		{"stream from its beginning", "--stream-offset first", offset("first")},
		{"stream from its last chunk", "--stream-offset last", offset("last")},
		{"stream from now on", "--stream-offset next", offset("next")},
		{"stream at an offset", "--stream-offset 0", offset(int64(0))},
		{"stream at an age", "--stream-offset 7D", offset("7D")},
		{"stream at a time", "--stream-offset 2026-01-31T12:00:00+01:00", offset(time.Date(2026, 1, 31, 11, 0, 0, 0, time.UTC))},
		{"stream declared", "--stream-offset first --declare", func(c *consumer.Config, s *consumer.Subscription) {
			offset("first")(c, s)
			s.Declare = &broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": "stream"}}
		}},
		{"prefetch", "--prefetch 7", func(_ *consumer.Config, s *consumer.Subscription) { s.Prefetch = 7 }},
		{"prefetch-bytes", "--prefetch-bytes 64MiB", func(_ *consumer.Config, s *consumer.Subscription) { s.PrefetchBytes = 64 << 20 }},
		{"concurrency", "--concurrency 8", func(_ *consumer.Config, s *consumer.Subscription) { s.Concurrency = 8 }},
		{"attempts", "--attempts 9", func(_ *consumer.Config, s *consumer.Subscription) { s.Retry.Attempts = 9 }},
		{"backoff", "--backoff 200ms:5s", func(_ *consumer.Config, s *consumer.Subscription) {
			s.Retry.Backoff = consumer.Backoff{Initial: 200 * time.Millisecond, Max: 5 * time.Second}
		}},
		{"backoff of one length", "--backoff 3s", func(_ *consumer.Config, s *consumer.Subscription) {
			s.Retry.Backoff = consumer.Backoff{Initial: 3 * time.Second, Max: 3 * time.Second}
		}},
		{"breaker", "--breaker 50:2m", func(_ *consumer.Config, s *consumer.Subscription) {
			s.Breaker = consumer.Breaker{Failures: 50, Pause: 2 * time.Minute}
		}},
		{"grace", "--grace 5m", func(c *consumer.Config, _ *consumer.Subscription) { c.GracePeriod = 5 * time.Minute }},
		{"poison", "--poison put-back", func(_ *consumer.Config, s *consumer.Subscription) { s.Retry.Poison = consumer.PutBack }},
		{"parking-queue", "--parking-queue p", func(_ *consumer.Config, s *consumer.Subscription) { s.Retry.ParkingQueue = "p" }},
		{"silence", "--silence 2100ms", func(c *consumer.Config, _ *consumer.Subscription) {
			c.DrainTimeout = 2100 * time.Millisecond
		}},
		{"probe-timeout", "--probe-timeout 2200ms", func(c *consumer.Config, _ *consumer.Subscription) {
			c.ProbeTimeout = 2200 * time.Millisecond
		}},
		{"heartbeat", "--heartbeat 23s", func(c *consumer.Config, _ *consumer.Subscription) { c.Heartbeat = 23 * time.Second }},
		{"count caps prefetch", "--count 5", func(_ *consumer.Config, s *consumer.Subscription) { s.Prefetch = 5 }},
		{"count caps the given prefetch", "--count 5 --prefetch 9", func(_ *consumer.Config, s *consumer.Subscription) { s.Prefetch = 5 }},
		{"count caps concurrency", "--count 5 --concurrency 9", func(_ *consumer.Config, s *consumer.Subscription) {
			s.Concurrency, s.Prefetch = 5, 5
		}},
		{"count above the default prefetch", "--count 1000", func(_ *consumer.Config, s *consumer.Subscription) {
			s.Prefetch = consumer.DefaultPrefetch
		}},
		{"count above concurrency", "--count 1000 --concurrency 99", func(_ *consumer.Config, s *consumer.Subscription) {
			s.Concurrency, s.Prefetch = 99, 99
		}},
		{"count above both", "--count 1000 --concurrency 3 --prefetch 4", func(_ *consumer.Config, s *consumer.Subscription) {
			s.Concurrency, s.Prefetch = 3, 4
		}},
		{"handlers and logs are no settings", "--output none --log-level debug --log-format json", func(*consumer.Config, *consumer.Subscription) {}},
		{"commands have no backlog", "--exec cat --timeout 90s --concurrency 3", func(_ *consumer.Config, s *consumer.Subscription) {
			s.Concurrency, s.Prefetch = 3, 3
		}},
		{"but for those that end by themselves", "--exec cat --concurrency 3 --count 9", func(_ *consumer.Config, s *consumer.Subscription) {
			s.Concurrency, s.Prefetch = 3, 4
		}},
		{"as soon as the queue is empty", "--exec cat --until-empty", func(_ *consumer.Config, s *consumer.Subscription) { s.Prefetch = 2 }},
		{"and not more than is asked for", "--exec cat --count 1", func(_ *consumer.Config, s *consumer.Subscription) { s.Prefetch = 1 }},
		{"unless they are given one", "--exec cat --prefetch 9", func(_ *consumer.Config, s *consumer.Subscription) { s.Prefetch = 9 }},
		{"dedup", "--dedup 500", func(_ *consumer.Config, s *consumer.Subscription) { s.Dedup.Window = 500 }},
		{"max-revive-attempts", "--max-revive-attempts 7", func(c *consumer.Config, _ *consumer.Subscription) { c.MaxReviveAttempts = 7 }},
		{"a low rate takes little ahead", "--max-rate 30/m", func(_ *consumer.Config, s *consumer.Subscription) { s.Prefetch = 3 }},
		{"a high rate takes as much as ever", "--max-rate 1000", func(_ *consumer.Config, s *consumer.Subscription) {
			s.Prefetch = consumer.DefaultPrefetch
		}},
		{"a rate and handlers", "--max-rate 1 --concurrency 9", func(_ *consumer.Config, s *consumer.Subscription) {
			s.Concurrency, s.Prefetch = 9, 9
		}},
		{"a rate and a prefetch", "--max-rate 1 --prefetch 20", func(_ *consumer.Config, s *consumer.Subscription) { s.Prefetch = 20 }},
		{"delivery-limit", "--delivery-limit 5", func(_ *consumer.Config, s *consumer.Subscription) { s.DeliveryLimit = 5 }},
		{"no delivery-limit", "--delivery-limit 0", func(_ *consumer.Config, s *consumer.Subscription) {
			s.DeliveryLimit = consumer.NoDeliveryLimit
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := consumer.Subscription{Concurrency: 1, Retry: consumer.Retry{
				Attempts: 8, Backoff: consumer.Backoff{Initial: time.Second, Max: time.Minute}, Poison: consumer.Park,
			}}
			want := consumer.Config{
				URLs: []string{"amqp://a"}, Name: "everhop",
				DrainTimeout: broker.DefaultDrainTimeout, ProbeTimeout: broker.DefaultProbeTimeout,
				GracePeriod: consumer.DefaultGracePeriod,
			}
			tt.want(&want, &s)
			want.Subscriptions = []consumer.Subscription{s}

			f := newConsumption()
			if err := f.command().ParseFlags(append([]string{"--url", "amqp://a"}, strings.Fields(tt.flags)...)); err != nil {
				t.Fatal(err)
			}
			urls, _, err := f.url.endpoints()
			if err != nil {
				t.Fatal(err)
			}
			got := f.config(urls, f.subscription(), zerolog.Nop(), func() {})
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(consumer.Config{}, "Logger", "Observers")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Messages with the same value in the header come one after the other, whatever its type, and so do those without.
func TestKeyHeader(t *testing.T) {
	f := newConsumption()
	if err := f.command().ParseFlags(strings.Fields("--concurrency 2 --key-header order")); err != nil {
		t.Fatal(err)
	}
	key := f.subscription().OrderingKey
	for want, headers := range map[string]map[string]any{
		"":   {"other": "7"},
		"7":  {"order": int32(7)},
		"a":  {"order": []byte("a")},
		"b ": {"order": "b "},
	} {
		if got := key(&consumer.Delivery{Headers: headers}); got != want {
			t.Errorf("%v: %q, want %q", headers, got, want)
		}
	}
}
