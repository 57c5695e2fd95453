//go:build unix

package main

import (
	"context"
	"io"
	"math"
	"net/http"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
)

// BenchmarkWindows is what it costs to be seen: a backlog is consumed with and without windows, in turns. With them somebody
// asks for /status and /metrics each second, and another one follows /events. It fails if that takes 3 % more time, or
// processor time, beyond the doubt of the measurement, or if a message takes an allocation more.
func BenchmarkWindows(b *testing.B) {
	const rounds, most = 15, 1.03
	var times, cpu, allocations []float64
	for range b.N {
		for i := range rounds {
			var with, without cost
			if i%2 == 0 {
				with, without = consumeSeen(b, true), consumeSeen(b, false)
			} else {
				without, with = consumeSeen(b, false), consumeSeen(b, true)
			}
			times = append(times, with.elapsed.Seconds()/without.elapsed.Seconds())
			cpu = append(cpu, with.cpu.Seconds()/without.cpu.Seconds())
			allocations = append(allocations, with.allocations-without.allocations)
		}
	}
	ratio, doubt := middleOf(times)
	onCPU, cpuDoubt := middleOf(cpu)
	more, _ := middleOf(allocations)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(100*(ratio-1), "%-time")
	b.ReportMetric(100*doubt, "±%-time")
	b.ReportMetric(100*(onCPU-1), "%-cpu")
	b.ReportMetric(100*cpuDoubt, "±%-cpu")
	b.ReportMetric(more, "allocs-more/msg")
	if onCPU-2*cpuDoubt > most {
		b.Errorf("it takes %.3f ± %.3f times the processor time, and may take %v", onCPU, cpuDoubt, most)
	}
	if ratio-2*doubt > most {
		b.Errorf("it takes %.3f ± %.3f times as long, and may take %v", ratio, doubt, most)
	}
	if more > 0.05 { // those of the requests are spread over the messages
		b.Errorf("%.3f allocations more for each message", more)
	}
}

// middleOf returns the median, and its standard error.
func middleOf(list []float64) (median, doubt float64) {
	slices.Sort(list)
	mean, square := 0.0, 0.0
	for _, x := range list {
		mean += x / float64(len(list))
	}
	for _, x := range list {
		square += (x - mean) * (x - mean)
	}
	n := float64(len(list))
	return list[len(list)/2], 1.25 * math.Sqrt(square/(n-1)/n)
}

// cost is that of some messages.
type cost struct {
	elapsed, cpu time.Duration
	allocations  float64 // for each
}

func consumeSeen(b *testing.B, seen bool) cost {
	const messages = 300_000
	server, err := brokertest.Start(brokertest.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	if err := server.DeclareQueue("orders", nil); err != nil {
		b.Fatal(err)
	}
	if err := server.Publish("orders", slices.Repeat([]string{"a message of some twenty-five bytes"}, messages)...); err != nil {
		b.Fatal(err)
	}
	handled, done := 0, make(chan struct{})
	config := consumer.Config{Name: "shop", URLs: []string{server.URL()}, Subscriptions: []consumer.Subscription{{
		Queue: "orders", Prefetch: 256, Handler: func(context.Context, *consumer.Delivery) error {
			if handled++; handled == messages {
				close(done)
			}
			return nil
		},
	}}}
	show, end := func(*consumer.Consumer) {}, func() {}
	if seen {
		window, err := openWindow("127.0.0.1:0", zerolog.Nop())
		if err != nil {
			b.Fatal(err)
		}
		window.observe(&config)
		show = func(c *consumer.Consumer) {
			closeWindow, stopLooking := window.show(c), keepLooking(b, "http://"+window.listener.Addr().String())
			end = func() {
				stopLooking()
				closeWindow()
			}
		}
	}
	c, err := consumer.New(config)
	if err != nil {
		b.Fatal(err)
	}
	show(c)
	runtime.GC()
	before, began := used(), time.Now()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	<-done
	elapsed, after := time.Since(began), used()
	end()
	if err := c.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	return cost{elapsed, after.cpu - before.cpu, (after.allocations - before.allocations) / messages}
}

func used() (c cost) {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // it does not fail
	return cost{cpu: time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), allocations: float64(memory.Mallocs)}
}

// keepLooking asks until the returned function is called.
func keepLooking(b *testing.B, url string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ask := func(path string) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
		if err != nil {
			b.Error(err)
			return
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	}
	follower, asker := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(follower)
		ask("/events")
	}()
	go func() {
		defer close(asker)
		for ctx.Err() == nil {
			ask("/status")
			ask("/metrics")
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}()
	return func() {
		cancel()
		<-follower
		<-asker
		http.DefaultClient.CloseIdleConnections()
	}
}
