package broker

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	endpoints := []Endpoint{{host: "h", port: 1}}
	subscribe := func(s Subscription) Plan { return Plan{Endpoints: endpoints, Subscriptions: []Subscription{s}} }
	long := strings.Repeat("x", 256)
	tests := []struct {
		want string // "" for a valid plan
		plan Plan
	}{
		{"", Plan{Endpoints: endpoints}},
		{"", subscribe(Subscription{Queue: "q", Prefetch: 1})},
		{"", subscribe(Subscription{Declare: &QueueOptions{}, Prefetch: 65535})},
		{"", subscribe(Subscription{Queue: "q", Prefetch: 1, Exchanges: []Exchange{{Name: "x", Passive: true}}})},
		{"Endpoints:", Plan{}},
		{"Endpoints[1]:", Plan{Endpoints: []Endpoint{endpoints[0], {}}}},
		{"Heartbeat:", Plan{Endpoints: endpoints, Heartbeat: time.Millisecond}},
		{"Heartbeat:", Plan{Endpoints: endpoints, Heartbeat: 65536 * time.Second}},
		{"DrainTimeout:", Plan{Endpoints: endpoints, DrainTimeout: -1}},
		{"ProbeTimeout:", Plan{Endpoints: endpoints, ProbeTimeout: -1}},
		{"ConnectTimeout:", Plan{Endpoints: endpoints, ConnectTimeout: -1}},
		{"CallTimeout:", Plan{Endpoints: endpoints, CallTimeout: -1}},
		{"Subscriptions[0].Queue:", subscribe(Subscription{Prefetch: 1})},
		{"Subscriptions[0].Queue:", subscribe(Subscription{Queue: long, Prefetch: 1})},
		{"Subscriptions[0].Prefetch:", subscribe(Subscription{Queue: "q"})},
		{"Subscriptions[0].Prefetch:", subscribe(Subscription{Queue: "q", Prefetch: 65536})},
		{"Subscriptions[0].ConsumerTag:", subscribe(Subscription{Queue: "q", Prefetch: 1, ConsumerTag: long})},
		{`Subscriptions[0].Arguments["a"]: a struct {} cannot be sent`, subscribe(Subscription{Queue: "q", Prefetch: 1, Arguments: map[string]any{"a": struct{}{}}})},
		{`Subscriptions[0].Declare.Arguments["a"]: a struct {} cannot be sent`, subscribe(Subscription{Prefetch: 1, Declare: &QueueOptions{Arguments: map[string]any{"a": struct{}{}}}})},
		{"Subscriptions[0].Exchanges[0]:", subscribe(Subscription{Queue: "q", Prefetch: 1, Exchanges: []Exchange{{Name: "x"}}})},
		{"Subscriptions[0].Exchanges[0].Name:", subscribe(Subscription{Queue: "q", Prefetch: 1, Exchanges: []Exchange{{Name: long, Kind: "topic"}}})},
		{`Subscriptions[0].Exchanges[0].Arguments["a"]: a struct {} cannot be sent`, subscribe(Subscription{
			Queue: "q", Prefetch: 1, Exchanges: []Exchange{{Name: "x", Kind: "topic", Arguments: map[string]any{"a": struct{}{}}}},
		})},
		{"Subscriptions[0].Bindings[0].Exchange:", subscribe(Subscription{Queue: "q", Prefetch: 1, Bindings: []Binding{{}}})},
		{"Subscriptions[0].Bindings[0].RoutingKey:", subscribe(Subscription{Queue: "q", Prefetch: 1, Bindings: []Binding{{Exchange: "x", RoutingKey: long}}})},
		{`Subscriptions[0].Bindings[0].Arguments["a"]: a struct {} cannot be sent`, subscribe(Subscription{
			Queue: "q", Prefetch: 1, Bindings: []Binding{{Exchange: "x", Arguments: map[string]any{"a": struct{}{}}}},
		})},
	}
	for _, test := range tests {
		t.Run(test.want, func(t *testing.T) {
			err := test.plan.Validate()
			if (err == nil) != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), "broker: "+test.want) {
				t.Errorf("got %v, want it to begin with %q", err, test.want)
			}
		})
	}
}

func TestValidateJoinsAllProblems(t *testing.T) {
	err := Plan{Heartbeat: -1, Subscriptions: []Subscription{{Prefetch: 1}, {Queue: "q"}}}.Validate()
	if err == nil || strings.Count(err.Error(), "broker: ") != 4 {
		t.Errorf("want four problems, got\n%v", err)
	}
}

func TestDefaultsLeaveThePlanAlone(t *testing.T) {
	plan := Plan{Heartbeat: time.Second}
	filled := plan.withDefaults()
	if plan.DrainTimeout != 0 || plan.Dial != nil {
		t.Error("the caller's plan was changed")
	}
	if filled.Heartbeat != time.Second || filled.DrainTimeout != DefaultDrainTimeout || filled.Dial == nil {
		t.Errorf("defaults: %+v", filled)
	}
}
