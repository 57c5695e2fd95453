package broker

import (
	"testing"

	"github.com/everhop/everhop/broker/brokertest"
)

// A user who may use a queue and an exchange, and not configure them, consumes from what is there; of what is not, it is
// told so.
func TestUseWithoutConfigure(t *testing.T) {
	for _, version := range []string{"3.10", "4.0", "4.3"} {
		server := brokertest.NewServer(t, brokertest.Config{
			Version: version, Permissions: map[string]map[string]brokertest.Permissions{"guest": {"/": {Write: ".*", Read: ".*"}}},
		})
		if err := server.DeclareQueue("there", nil); err != nil {
			t.Fatal(err)
		}
		endpoints, err := ParseEndpoints(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		of := func(queue, exchange string) Subscription {
			return Subscription{
				Queue: queue, Prefetch: 1, Declare: &QueueOptions{Durable: true}, Exchanges: []Exchange{{Name: exchange, Kind: "fanout", Durable: true}},
				Bindings: []Binding{{Exchange: exchange}},
			}
		}
		s, err := Open(t.Context(), Plan{Endpoints: endpoints, Subscriptions: []Subscription{of("there", "amq.fanout"), of("missing", "amq.fanout"), of("there", "missing")}}, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Abort()
		if _, err := s.Consume(t.Context(), 0, Intake{}); err != nil {
			t.Errorf("as %s: %v", version, err)
		}
		for i := 1; i < 3; i++ {
			_, err := s.Consume(t.Context(), i, Intake{})
			if class, _ := Classify(err); class != Auth && class != NotFound {
				t.Errorf("as %s: %v", version, err)
			}
		}
	}
}
