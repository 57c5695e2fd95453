//go:build linux

package consumer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// soakProcessEnv has TestSoakProcess be one of the processes that consume; it holds a soakTask.
const soakProcessEnv = "EVERHOP_SOAK_PROCESS"

// soakTask is what a process is to consume.
type soakTask struct {
	Process int
	URLs    []string
	Journal string // the folder of its consumers' journals
	Offset  any    // where it goes on in the stream
}

// soakLine is what a process writes for each message that it handles, and now and then about itself.
type soakLine struct {
	At       time.Time
	Consumer string `json:",omitempty"`
	Audience string `json:",omitempty"`
	ID       string `json:",omitempty"`
	Endpoint string `json:",omitempty"` // that the message came from
	Offset   int64  `json:",omitempty"` // in the stream

	Goroutines int    `json:",omitempty"`
	Heap       uint64 `json:",omitempty"`
}

const (
	soakConsumers = 5 // in each process
	soakGauge     = 5 * time.Second
)

// TestSoakProcess consumes until it is told to stop. It writes each message into file 3 before that is acknowledged.
func TestSoakProcess(t *testing.T) {
	text := os.Getenv(soakProcessEnv)
	if text == "" {
		t.Skip("a part of make soak")
	}
	var task soakTask
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	w := soakWriter{file: os.NewFile(3, "ledger")}
	var running sync.WaitGroup
	for i := range soakConsumers {
		running.Go(func() {
			if err := w.consume(ctx, task, i); err != nil {
				t.Errorf("process %d, consumer %d: %v", task.Process, i, err)
			}
		})
	}
	running.Go(func() { w.gauge(ctx) })
	running.Wait()
}

type soakWriter struct{ file *os.File }

func (w soakWriter) write(line soakLine) error {
	line.At = time.Now()
	text, err := json.Marshal(line)
	if err == nil {
		_, err = w.file.Write(append(text, '\n')) // in one piece, as short as it is
	}
	return err
}

func (w soakWriter) gauge(ctx context.Context) {
	tick := time.NewTicker(soakGauge)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var memory runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&memory)
		_ = w.write(soakLine{Goroutines: runtime.NumGoroutine(), Heap: memory.HeapAlloc})
	}
}

func (w soakWriter) consume(ctx context.Context, task soakTask, i int) error {
	name := fmt.Sprintf("p%dc%d", task.Process, i)
	events, err := journal.Open(filepath.Join(task.Journal, name), journal.Options{})
	if err != nil {
		return err
	}
	defer events.Close()
	var endpoints sync.Map // by generation
	config := consumer.Config{
		Name: name, Journal: events,
		Observers: []func(fsm.Event){func(e fsm.Event) {
			if about := consumer.EvidenceOf(e); about.Endpoint != "" {
				endpoints.Store(about.Generation, about.Endpoint)
			}
		}},
	}
	for n := range task.URLs {
		config.URLs = append(config.URLs, task.URLs[(n+i)%len(task.URLs)])
	}
	subscribe := func(q soakQueue, audience string) {
		s := consumer.Subscription{Queue: q.name, Declare: q.options(), Concurrency: 1 + i%3}
		if q.kind == "stream" {
			s.Concurrency, s.Stream = 1, &consumer.Stream{Offset: task.offset()}
		}
		s.Handler = func(_ context.Context, d *consumer.Delivery) error {
			<-time.After(rand.N(10 * time.Millisecond)) // the work
			endpoint, _ := endpoints.Load(d.Generation)
			from, _ := endpoint.(string)
			return w.write(soakLine{Consumer: name, Audience: audience, ID: d.MessageID, Endpoint: from, Offset: d.StreamOffset})
		}
		config.Subscriptions = append(config.Subscriptions, s)
	}
	shared := soakQueues[:len(soakQueues)-1]
	number := task.Process*soakConsumers + i
	subscribe(shared[number%len(shared)], shared[number%len(shared)].name)
	other := (number + 3) % len(shared)
	subscribe(shared[other], shared[other].name)
	if i == 0 {
		subscribe(soakQueues[len(soakQueues)-1], streamAudience(task.Process))
	}
	c, err := consumer.New(config)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// offset is a number where JSON has made another of it.
func (task soakTask) offset() any {
	if n, ok := task.Offset.(float64); ok {
		return int64(n)
	}
	return task.Offset
}

// soakQueue is a queue that messages are published to. The last one is a stream, which each process handles all of.
type soakQueue struct {
	name, kind string
	deleted    bool // now and then, when nothing is in it
}

var soakQueues = []soakQueue{
	{name: "classic0", kind: "classic"}, {name: "classic1", kind: "classic"}, {name: "classic2", kind: "classic"},
	{name: "quorum0", kind: "quorum"}, {name: "quorum1", kind: "quorum"}, {name: "quorum2", kind: "quorum"},
	{name: "classic-deleted", kind: "classic", deleted: true}, {name: "quorum-deleted", kind: "quorum", deleted: true},
	{name: "stream", kind: "stream"},
}

func (q soakQueue) options() *broker.QueueOptions {
	return &broker.QueueOptions{Durable: true, Arguments: map[string]any{"x-queue-type": q.kind}}
}

func streamAudience(process int) string { return fmt.Sprintf("stream, process %d", process) }

// audiences are those of which each handles all that is in the queue.
func (q soakQueue) audiences() (names []string) {
	if q.kind != "stream" {
		return []string{q.name}
	}
	for i := range soakProcesses {
		names = append(names, streamAudience(i))
	}
	return names
}
