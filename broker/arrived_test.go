package broker

import (
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/everhop/everhop/broker/brokertest"
)

// Arrived is told of each delivery before anybody has received it, over Cancel and Resume, and of all that came
// before Cancel returns; Waiting counts them.
func TestArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		s := begin(t, plan)
		var mu sync.Mutex
		var came []uint64
		var sizes []int64
		c := prepare(t, s, Intake{Prefetch: 3, Arrived: func(d *Delivery, bytes int64) {
			mu.Lock()
			defer mu.Unlock()
			came, sizes = append(came, d.DeliveryTag), append(sizes, bytes)
		}})
		publishTo(t, server, "q", "", strings.Repeat("x", 5000), strings.Repeat("x", 200_000), "4", "5")
		synctest.Wait()
		cancel(t, c)
		want := func(waiting int, tags ...uint64) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if n, _, _ := c.Waiting(); n != waiting || !slices.Equal(came, tags) {
				t.Errorf("%v came, %d wait; want %v and %d", came, n, tags, waiting)
			}
		}
		want(3, 1, 2, 3)
		take(t, c)
		want(2, 1, 2, 3)
		resume(t, c, Intake{Prefetch: 1})
		synctest.Wait()
		want(3, 1, 2, 3, 4)
		for i, body := range []int64{0, 5000, 200_000, 1} {
			if more := sizes[i] - body; more < 512 || more > 1024 {
				t.Errorf("a delivery with a body of %d bytes counts as %d", body, sizes[i])
			}
		}
	})
}

// Of a message that is too large nothing is kept, so it does not count.
func TestArrivedTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, plan := serve(t, topology)
		plan.MaxMessageSize = 10_000
		sizes := make(chan int64, 1)
		prepare(t, begin(t, plan), Intake{Arrived: func(_ *Delivery, bytes int64) { sizes <- bytes }})
		publishTo(t, server, "q", strings.Repeat("x", 1<<20))
		if n := <-sizes; n > 2000 {
			t.Errorf("it counts as %d bytes", n)
		}
	})
}

// What a delivery is said to take is about what it takes, also with many headers.
func TestMemoryOf(t *testing.T) { //nolint:paralleltest // it measures memory
	const messages = 200
	many := map[string]any{}
	for i := range 50 {
		many["header "+strconv.Itoa(i)] = "a value " + strconv.Itoa(i)
	}
	numbers := map[string]any{}
	for i := range 50 {
		numbers["n"+strconv.Itoa(i)] = int64(i) << 20
	}
	for name, m := range map[string]brokertest.Message{
		"no headers": {Body: []byte("x")}, "a body": {Body: make([]byte, 20_000)},
		"many headers": {Headers: many}, "numbers": {Headers: numbers},
	} {
		server := brokertest.NewServer(t)
		if err := server.DeclareQueue("q", nil); err != nil {
			t.Fatal(err)
		}
		endpoints, err := ParseEndpoints(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		s := begin(t, Plan{Endpoints: endpoints, Subscriptions: []Subscription{{Queue: "q", Prefetch: messages}}})
		var said int64
		c := prepare(t, s, Intake{Arrived: func(_ *Delivery, bytes int64) { said += bytes }})
		var all []*Delivery
		for range messages {
			if err := server.PublishMessage("q", m); err != nil {
				t.Fatal(err)
			}
			all = append(all, take(t, c))
		}
		before := live()
		clear(all)
		takes := before - live()
		runtime.KeepAlive(all)
		t.Logf("%s: %d bytes each, said to be %d", name, takes/messages, said/messages)
		if takes > 2*said || said > 3*takes {
			t.Errorf("%s: %d bytes each are said to be %d", name, takes/messages, said/messages)
		}
		if err := errors.Join(c.Close(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

// live is how much memory objects take that are alive.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
