package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// With the defaults, what commands need may be away for a minute.
func TestMinuteAway(t *testing.T) {
	for range 10 { // pauses are random
		for _, flags := range []string{"", "--concurrency 4", "--concurrency 2 --prefetch 20 --breaker 17:30s"} {
			synctest.Test(t, func(t *testing.T) { minuteAway(t, flags) })
		}
	}
}

func minuteAway(t *testing.T, flags string) {
	const messages = 12
	server := brokertest.NewInMemoryServer(t)
	if err := server.DeclareQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	f := newConsumption()
	if err := f.command().ParseFlags(append([]string{"--queue", "q", "--exec", "curl http://localhost"}, strings.Fields(flags)...)); err != nil {
		t.Fatal(err)
	}
	sub := f.subscription()
	var back time.Time
	sub.Handler = func(context.Context, *consumer.Delivery) error {
		if back.IsZero() {
			back = time.Now().Add(time.Minute)
		}
		if time.Now().Before(back) {
			return errors.New("exit status 1")
		}
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	config := f.config([]string{server.URL()}, sub, zerolog.Nop(), stop)
	config.Dial = server.Dial
	c, err := consumer.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for range messages {
		if err := server.Publish("q", "message"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
	}
	time.Sleep(2 * time.Minute)
	if s := c.Stats(); s.Acknowledged != messages || s.Parked != 0 || s.Failed == 0 {
		t.Errorf("%s: %+v; want all acknowledged, and none parked", flags, s)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
