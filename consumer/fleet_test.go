package consumer_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// When a broker stops, all its consumers come back, and not in step; a connection that is reset comes back at once.
func TestFleetComesBackOneByOne(t *testing.T) {
	tests := []struct {
		name        string
		fault       brokertest.Fault
		least, most time.Duration // between the first and the last
	}{
		{"the broker stops", brokertest.CloseConnection(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"),
			consumer.DefaultBackoffMax / 2, consumer.DefaultBackoffMax},
		{"the network resets", brokertest.Reset(), 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := brokertest.NewInMemoryServer(t)
				if err := server.DeclareQueue("q", nil); err != nil {
					t.Fatal(err)
				}
				const fleet = 30
				var mu sync.Mutex
				var revived []time.Time
				ctx, stop := context.WithCancel(t.Context())
				var running sync.WaitGroup
				for range fleet {
					c, err := consumer.New(consumer.Config{
						URLs: []string{server.URL()}, Dial: server.Dial,
						Subscriptions: []consumer.Subscription{{Queue: "q", Handler: func(context.Context, *consumer.Delivery) error { return nil }}},
						Observers: []func(fsm.Event){func(e fsm.Event) {
							if e.Trigger == consumer.Revived {
								mu.Lock()
								defer mu.Unlock()
								revived = append(revived, time.Now())
							}
						}},
					})
					if err != nil {
						t.Fatal(err)
					}
					running.Go(func() {
						if err := c.Run(ctx); err != nil {
							t.Error(err)
						}
					})
				}
				time.Sleep(time.Minute)
				server.Inject(brokertest.Now(), test.fault)
				time.Sleep(time.Minute)
				stop()
				running.Wait()
				if len(revived) != fleet {
					t.Fatalf("%d revivals of %d consumers", len(revived), fleet)
				}
				if took := revived[fleet-1].Sub(revived[0]); took < test.least || took > test.most {
					t.Errorf("they came back within %v, want %v to %v", took, test.least, test.most)
				}
			})
		})
	}
}
