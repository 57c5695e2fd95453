package brokertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/everhop/everhop/broker/internal/wire"
)

// definitions are what RabbitMQ exports, of all virtual hosts or of one.
type definitions struct {
	Users []struct {
		Name      string `json:"name"`
		Password  string `json:"password"` // not in an export, but RabbitMQ would read it
		Hash      []byte `json:"password_hash"`
		Algorithm string `json:"hashing_algorithm"`
	} `json:"users"`
	VirtualHosts []struct {
		Name string `json:"name"`
	} `json:"vhosts"`
	Permissions []struct {
		User        string `json:"user"`
		VirtualHost string `json:"vhost"`
		Configure   string `json:"configure"`
		Write       string `json:"write"`
		Read        string `json:"read"`
	} `json:"permissions"`
	Queues []struct {
		Name        string         `json:"name"`
		VirtualHost string         `json:"vhost"`
		Durable     bool           `json:"durable"`
		AutoDelete  bool           `json:"auto_delete"`
		Arguments   map[string]any `json:"arguments"`
	} `json:"queues"`
	Exchanges []struct {
		Name        string         `json:"name"`
		VirtualHost string         `json:"vhost"`
		Kind        string         `json:"type"`
		Durable     bool           `json:"durable"`
		AutoDelete  bool           `json:"auto_delete"`
		Internal    bool           `json:"internal"`
		Arguments   map[string]any `json:"arguments"`
	} `json:"exchanges"`
	Bindings []struct {
		Source      string         `json:"source"`
		VirtualHost string         `json:"vhost"`
		Destination string         `json:"destination"`
		Kind        string         `json:"destination_type"`
		Key         string         `json:"routing_key"`
		Arguments   map[string]any `json:"arguments"`
	} `json:"bindings"`
	Policies []struct {
		Name        string `json:"name"`
		VirtualHost string `json:"vhost"`
		definedPolicy
	} `json:"policies"`
	TopicPermissions []struct {
		User        string `json:"user"`
		VirtualHost string `json:"vhost"`
		Exchange    string `json:"exchange"`
		Write       string `json:"write"`
		Read        string `json:"read"`
	} `json:"topic_permissions"`
	Parameters []struct {
		Component   string          `json:"component"`
		Name        string          `json:"name"`
		VirtualHost string          `json:"vhost"`
		Value       json.RawMessage `json:"value"`
	} `json:"parameters"`
}

// definedPolicy is a policy, or one of an operator.
type definedPolicy struct {
	Pattern    string      `json:"pattern"`
	ApplyTo    string      `json:"apply-to"`
	Priority   int         `json:"priority"`
	Definition policyTable `json:"definition"`
}

// policyTable is an object or, of operator policies, a list of keys with their values.
type policyTable map[string]any

func (t *policyTable) UnmarshalJSON(text []byte) error {
	var pairs [][2]any
	if unmarshal(text, &pairs) != nil {
		return unmarshal(text, (*map[string]any)(t))
	}
	*t = policyTable{}
	for _, pair := range pairs {
		(*t)[fmt.Sprint(pair[0])] = pair[1]
	}
	return nil
}

func (p definedPolicy) in(virtualHost string) Policy {
	definition, _ := fromJSON(map[string]any(p.Definition)).(wire.Table)
	return Policy{virtualHost, p.Pattern, p.ApplyTo, p.Priority, definition}
}

// readDefinitions reads an export; nothing is one of nothing.
func readDefinitions(text []byte) (d definitions, err error) {
	if len(text) == 0 {
		return d, nil
	}
	if err := unmarshal(text, &d); err != nil {
		return d, fmt.Errorf("brokertest: Config.Definitions: %w", err)
	}
	return d, nil
}

// unmarshal reads JSON in which a whole number is one.
func unmarshal(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("there is more behind the end")
	}
	return nil
}

// complete has a Config name the users and virtual hosts that the definitions have.
func (d definitions) complete(config *Config) {
	if config.Users == nil && len(d.Users) > 0 {
		config.Users = map[string]string{}
	}
	config.Users = maps.Clone(config.Users)
	for _, u := range d.Users {
		config.Users[u.Name] = u.Password
		for _, likely := range []string{u.Name, ""} { // a URL has the password where it can be told
			if len(u.Hash) > 0 && hashed(u.Algorithm, u.Hash)(likely) {
				config.Users[u.Name] = likely
				break
			}
		}
	}
	config.VirtualHosts = slices.Clone(config.VirtualHosts)
	for _, h := range d.VirtualHosts {
		if !slices.Contains(config.VirtualHosts, h.Name) {
			config.VirtualHosts = append(config.VirtualHosts, h.Name)
		}
	}
	if at := slices.Index(config.VirtualHosts, "/"); at > 0 && len(d.VirtualHosts) > 0 {
		config.VirtualHosts = slices.Insert(slices.Delete(config.VirtualHosts, at, at+1), 0, "/")
	}
}

// define makes what is in the definitions, but for virtual hosts.
func (s *Server) define(d definitions) error {
	for _, part := range []func(definitions) error{s.defineUsers, s.defineTopology, s.definePolicies} {
		if err := part(d); err != nil {
			return fmt.Errorf("brokertest: Config.Definitions: %w", err)
		}
	}
	return nil
}

// defineUsers makes the users and what they may do. Nothing else uses the server yet: there are no timers before there are
// queues.
func (s *Server) defineUsers(d definitions) error {
	for _, u := range d.Users {
		if len(u.Hash) > 0 {
			s.hashes[u.Name] = hashed(u.Algorithm, u.Hash)
		}
		s.grantsOf(u.Name)
	}
	for _, p := range d.Permissions {
		g, err := Permissions{p.Configure, p.Write, p.Read}.compile()
		if err != nil {
			return fmt.Errorf("permissions of %s: %w", p.User, err)
		}
		s.grantsOf(p.User)[p.VirtualHost] = g
	}
	for _, p := range d.TopicPermissions {
		if err := s.SetTopicPermissions(p.User, p.VirtualHost, p.Exchange, TopicPermissions{p.Write, p.Read}); err != nil {
			return fmt.Errorf("topic permissions of %s: %w", p.User, err)
		}
	}
	return nil
}

// defineTopology makes queues, exchanges and bindings. It holds mu because the lease of a queue may end meanwhile: then
// the queue goes, but not before its bindings are made.
func (s *Server) defineTopology(d definitions) error {
	s.mu.Lock()
	defer s.unlock()
	for _, q := range d.Queues {
		err := s.defined(q.VirtualHost, q.Arguments, []string{q.Name}, func(h *virtualHost, arguments wire.Table) error {
			_, err := h.obtain(q.Name, declaration{durable: q.Durable, autoDelete: q.AutoDelete, arguments: arguments})
			return err
		})
		if err != nil {
			return fmt.Errorf("queue %q: %w", q.Name, err)
		}
	}
	for _, x := range d.Exchanges {
		if isPredeclared(x.Name) { // RabbitMQ exports some of its own, and passes them over when it imports
			continue
		}
		err := s.defined(x.VirtualHost, x.Arguments, []string{x.Name}, func(h *virtualHost, arguments wire.Table) error {
			return h.declareExchange(&exchange{
				host: h, name: x.Name, kind: x.Kind, durable: x.Durable, autoDelete: x.AutoDelete, internal: x.Internal, arguments: arguments,
			})
		})
		if err != nil {
			return fmt.Errorf("exchange %q: %w", x.Name, err)
		}
	}
	for _, b := range d.Bindings {
		if s.missingOwn(b.VirtualHost, b.Source) {
			s.seen.ignored["definitions binding from "+b.Source] = struct{}{}
			continue
		}
		if b.Kind == "exchange" && s.missingOwn(b.VirtualHost, b.Destination) {
			s.seen.ignored["definitions binding to "+b.Destination] = struct{}{}
			continue
		}
		err := s.defined(b.VirtualHost, b.Arguments, []string{b.Source, b.Destination, b.Key}, func(h *virtualHost, arguments wire.Table) error {
			binding := &binding{key: b.Key, arguments: arguments}
			if b.Kind != "exchange" {
				return h.bindQueue(b.Source, b.Destination, binding, nil)
			}
			source, err := h.exchange(b.Source)
			if err != nil {
				return err
			}
			if binding.exchange, err = h.exchange(b.Destination); err != nil {
				return err
			}
			return source.bind(binding)
		})
		if err != nil {
			return fmt.Errorf("binding from %q to %q: %w", b.Source, b.Destination, err)
		}
	}
	return nil
}

// definePolicies sets policies and those of operators. What is not known here, such as ha-mode, is told by Ignored.
func (s *Server) definePolicies(d definitions) error {
	tell := func(what string, err error) {
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.seen.ignored["definitions "+what] = struct{}{}
		}
	}
	for _, p := range d.Policies {
		tell("policy "+p.Name, s.SetPolicy(p.Name, p.in(p.VirtualHost)))
	}
	for _, p := range d.Parameters {
		if p.Component != "operator_policy" {
			continue
		}
		var value definedPolicy
		if err := unmarshal(p.Value, &value); err != nil {
			return fmt.Errorf("operator policy %q: %w", p.Name, err)
		}
		tell("operator policy "+p.Name, s.SetOperatorPolicy(p.Name, value.in(p.VirtualHost)))
	}
	return nil
}

// missingOwn tells whether RabbitMQ has an exchange of its own by this name, which is not there, such as amq.rabbitmq.log.
func (s *Server) missingOwn(host, exchange string) bool {
	h := s.host(host)
	return h != nil && isPredeclared(exchange) && h.exchanges[exchange] == nil
}

// defined makes one thing of a virtual host, which is the first one if it is not named, as in an export of one.
func (s *Server) defined(host string, arguments map[string]any, names []string, make func(*virtualHost, wire.Table) error) error {
	h := s.host(host)
	if h == nil {
		return fmt.Errorf("there is no virtual host %q", host)
	}
	for _, name := range names {
		if len(name) > wire.MaxShortString {
			return fmt.Errorf("a name or a key has up to %d bytes, and this has %d", wire.MaxShortString, len(name))
		}
	}
	table, _ := fromJSON(arguments).(wire.Table)
	if err := wire.Validate(table); err != nil {
		return err
	}
	return make(h, table)
}

// fromJSON is a value as AMQP has it.
func fromJSON(value any) any {
	switch v := value.(type) {
	case map[string]any:
		table := make(wire.Table, len(v))
		for name, inner := range v {
			table[name] = fromJSON(inner)
		}
		return table
	case []any:
		list := make([]any, len(v))
		for i, inner := range v {
			list[i] = fromJSON(inner)
		}
		return list
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return whole
		}
		float, _ := v.Float64()
		return float
	}
	return value
}
