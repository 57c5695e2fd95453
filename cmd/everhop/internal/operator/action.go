package operator

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/everhop/everhop/broker/brokertest"
)

// Action is what an operator does to the broker. Which of the other fields an action has, its entry in actions tells.
type Action struct {
	Name string `json:"action"`

	Host      string         `json:"vhost"` // defaults to the first one
	Queue     string         `json:"queue"`
	Exchange  string         `json:"exchange"`
	Type      string         `json:"type"` // of an exchange
	Key       string         `json:"key"`
	Arguments map[string]any `json:"arguments"`
	Bodies    []string       `json:"bodies"`

	User      string `json:"user"`
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`

	Policy     string         `json:"policy"` // its name
	Pattern    string         `json:"pattern"`
	ApplyTo    string         `json:"apply-to"`
	Priority   int            `json:"priority"`
	Definition map[string]any `json:"definition"`

	Text string `json:"text"` // of one alarm; all, if it is left out
}

// action has fields, and comes about at once.
type action struct {
	fields
	do func(s *brokertest.Server, a Action) error
}

var actions = map[string]action{
	"publish": {fields{"queue bodies", "vhost"}, func(s *brokertest.Server, a Action) error {
		return a.in(s).Publish(a.Queue, a.Bodies...)
	}},
	"declare-queue": {fields{"queue", "vhost arguments"}, func(s *brokertest.Server, a Action) error {
		return a.in(s).DeclareQueue(a.Queue, a.Arguments)
	}},
	"declare-exchange": {fields{"exchange type", "vhost arguments"}, func(s *brokertest.Server, a Action) error {
		return a.in(s).DeclareExchange(a.Exchange, a.Type, a.Arguments)
	}},
	"bind": {fields{"exchange queue", "vhost key arguments"}, func(s *brokertest.Server, a Action) error {
		return a.in(s).Bind(a.Exchange, a.Key, a.Queue, a.Arguments)
	}},
	"add-vhost": {fields{"vhost", ""}, func(s *brokertest.Server, a Action) error {
		s.AddVirtualHost(a.Host)
		return nil
	}},
	"set-policy": {fields{"policy pattern definition", "vhost apply-to priority"}, func(s *brokertest.Server, a Action) error {
		return s.SetPolicy(a.Policy, a.policy())
	}},
	"clear-policy": {fields{"policy", "vhost"}, func(s *brokertest.Server, a Action) error {
		return s.ClearPolicy(a.Host, a.Policy)
	}},
	"set-operator-policy": {fields{"policy pattern definition", "vhost apply-to priority"}, func(s *brokertest.Server, a Action) error {
		return s.SetOperatorPolicy(a.Policy, a.policy())
	}},
	"clear-operator-policy": {fields{"policy", "vhost"}, func(s *brokertest.Server, a Action) error {
		return s.ClearOperatorPolicy(a.Host, a.Policy)
	}},
	"set-permissions": {fields{"user configure write read", "vhost"}, func(s *brokertest.Server, a Action) error {
		return s.SetPermissions(a.User, a.Host, brokertest.Permissions{Configure: a.Configure, Write: a.Write, Read: a.Read})
	}},
	"clear-permissions": {fields{"user", "vhost"}, func(s *brokertest.Server, a Action) error {
		return s.ClearPermissions(a.User, a.Host)
	}},
	"set-topic-permissions": {fields{"user exchange write read", "vhost"}, func(s *brokertest.Server, a Action) error {
		return s.SetTopicPermissions(a.User, a.Host, a.Exchange, brokertest.TopicPermissions{Write: a.Write, Read: a.Read})
	}},
	"clear-topic-permissions": {fields{"user exchange", "vhost"}, func(s *brokertest.Server, a Action) error {
		return s.ClearTopicPermissions(a.User, a.Host, a.Exchange)
	}},
	"start-app":          {do: func(s *brokertest.Server, _ Action) error { return s.StartApp() }},
	"accept-connections": {do: func(s *brokertest.Server, _ Action) error { return s.AcceptConnections() }},
	"clear-alarm": {fields{"", "text"}, func(s *brokertest.Server, a Action) error {
		if a.Text == "" {
			s.ClearAlarm()
		} else {
			s.EndAlarm(a.Text)
		}
		return nil
	}},
}

// Actions are the names of those that there are, in alphabetical order.
func Actions() []string { return slices.Sorted(maps.Keys(actions)) }

func (a Action) do(s *brokertest.Server, given map[string]json.RawMessage) error {
	act, known := actions[a.Name]
	if !known {
		return fmt.Errorf("there is no action %q; there are %s", a.Name, strings.Join(Actions(), ", "))
	}
	delete(given, "action")
	if err := act.check(a.Name, given); err != nil {
		return err
	}
	a.Arguments, a.Definition = table(a.Arguments), table(a.Definition)
	return act.do(s, a)
}

func (a Action) in(s *brokertest.Server) *brokertest.VirtualHost {
	if a.Host == "" {
		return s.VirtualHost
	}
	return s.In(a.Host)
}

func (a Action) policy() brokertest.Policy {
	return brokertest.Policy{VirtualHost: a.Host, Pattern: a.Pattern, ApplyTo: a.ApplyTo, Priority: a.Priority, Definition: a.Definition}
}

// table has whole numbers as AMQP has them.
func table(t map[string]any) map[string]any {
	for name, value := range t {
		t[name] = number(value)
	}
	return t
}

func number(value any) any {
	switch v := value.(type) {
	case map[string]any:
		return table(v)
	case []any:
		for i, inner := range v {
			v[i] = number(inner)
		}
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return whole
		}
		float, _ := v.Float64()
		return float
	}
	return value
}
