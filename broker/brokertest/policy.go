package brokertest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// Policy is what an operator asks of all queues or exchanges of some names: see Server.SetPolicy.
type Policy struct {
	// VirtualHost that it is in. Defaults to the first one.
	VirtualHost string
	// Pattern is a regular expression, which matches a part of the name; ^ and $ stand for its ends.
	Pattern string
	// ApplyTo is all, queues or exchanges, and from RabbitMQ 4.0 on also classic_queues, quorum_queues or streams.
	// Defaults to all.
	ApplyTo string
	// Priority decides between policies that match the same name: the highest one counts, and that alone.
	Priority int
	// Definition has the names of arguments, without their x-. Which ones there are, DIFFERENCES.md lists.
	Definition map[string]any
}

// policy is one that is set.
type policy struct {
	Policy
	name       string
	expression *regexp.Regexp
}

// SetPolicy sets a policy, or another one of that name. Queues and exchanges obey it at once, also those that are there
// already, and together with their own arguments: of two numbers the lower one counts; the exchange and the key for dead
// letters are those of the arguments, and so is overflow, but for quorum queues. A message keeps the time to live that it
// came with. It fails when the definition has what is not known here or a value that RabbitMQ refuses, when the virtual
// host is not there, and when the server is closed.
func (s *Server) SetPolicy(name string, p Policy) error {
	return s.setPolicy(name, p, "policy", func(policyKey) bool { return true },
		func(h *virtualHost) map[string]*policy { return h.policies })
}

// SetOperatorPolicy sets a policy that bounds what others ask for: of its numbers and those of the policy that a queue has,
// the lower one counts, and from RabbitMQ 4.0 on its overflow. The rest is as with SetPolicy, but that fewer keys are
// known: limits.
func (s *Server) SetOperatorPolicy(name string, p Policy) error {
	return s.setPolicy(name, p, "operator policy", func(k policyKey) bool { return k.bounds },
		func(h *virtualHost) map[string]*policy { return h.bounds })
}

// setPolicy sets one of the policies of a virtual host that are of a kind.
func (s *Server) setPolicy(name string, p Policy, kind string, fits func(policyKey) bool, of func(*virtualHost) map[string]*policy) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("brokertest: %s %s: %w", kind, name, fmt.Errorf(format, args...))
	}
	expression, err := regexp.Compile(p.Pattern)
	if err != nil {
		return fail("pattern: %w", err)
	}
	p.ApplyTo = cmp.Or(p.ApplyTo, "all")
	targets := []string{"all", "queues", "exchanges"}
	if s.has(versions.NamesTypes) {
		targets = append(targets, "classic_queues", "quorum_queues", "streams")
	}
	if !slices.Contains(targets, p.ApplyTo) {
		return fail("ApplyTo is %q, want one of %q", p.ApplyTo, targets)
	}
	if len(p.Definition) == 0 {
		return fail("%w", errors.New("the definition is empty"))
	}
	known := make(map[string]policyKey)
	for _, k := range s.policyKeys() {
		if fits(k) {
			known[k.name] = k
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Definition)) {
		k, there := known[name]
		if !there {
			return fail("%s is not known here, but %q", name, slices.Sorted(maps.Keys(known)))
		}
		if problem := k.check(p.Definition[name]); problem != "" {
			return fail("%s: %s", name, problem)
		}
	}
	p.Definition = maps.Clone(p.Definition)
	return s.changePolicies(p.VirtualHost, fail, func(h *virtualHost) { of(h)[name] = &policy{p, name, expression} })
}

// ClearPolicy ends a policy, if it is there: its queues and exchanges have their own arguments again, or another policy.
// An empty virtual host stands for the first one. It fails when that is not there, and when the server is closed.
func (s *Server) ClearPolicy(vhost, name string) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("brokertest: policy %s: %w", name, fmt.Errorf(format, args...))
	}
	return s.changePolicies(vhost, fail, func(h *virtualHost) { delete(h.policies, name) })
}

// ClearOperatorPolicy ends an operator policy, as ClearPolicy ends others.
func (s *Server) ClearOperatorPolicy(vhost, name string) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("brokertest: operator policy %s: %w", name, fmt.Errorf(format, args...))
	}
	return s.changePolicies(vhost, fail, func(h *virtualHost) { delete(h.bounds, name) })
}

func (s *Server) changePolicies(vhost string, fail func(string, ...any) error, change func(*virtualHost)) error {
	s.mu.Lock()
	defer s.unlock()
	host := s.host(vhost)
	switch {
	case s.closed:
		return ErrClosed
	case host == nil:
		return fail("there is no virtual host %q", vhost)
	}
	change(host)
	for _, q := range host.queues {
		q.obeyAnew()
	}
	return nil
}

// definitionOf is that of the policy for a name, of those that fit.
func definitionOf(policies map[string]*policy, name string, fits func(*policy) bool) wire.Table {
	var best *policy
	for _, p := range policies {
		better := best == nil || p.Priority > best.Priority || p.Priority == best.Priority && p.name < best.name
		if better && fits(p) && p.expression.MatchString(name) {
			best = p
		}
	}
	if best == nil {
		return nil
	}
	return best.Definition
}

// policy is the definition of the exchange's policy.
func (x *exchange) policy() wire.Table {
	return definitionOf(x.host.policies, x.name, func(p *policy) bool { return p.ApplyTo == "all" || p.ApplyTo == "exchanges" })
}

// policy is the definition of the queue's policy, and of what bounds it. One that has something for which queues of this
// type have no use is not for them.
func (q *queue) policy() wire.Table {
	if len(q.host.policies) == 0 && len(q.host.bounds) == 0 {
		return nil
	}
	targets := []string{"all", "queues", map[kind]string{classic: "classic_queues", quorum: "quorum_queues", stream: "streams"}[q.kind]}
	var unfit []string
	for _, k := range q.host.server.policyKeys() {
		if k.unfit&q.kind != 0 {
			unfit = append(unfit, k.name)
		}
	}
	fits := func(p *policy) bool {
		return slices.Contains(targets, p.ApplyTo) && !slices.ContainsFunc(unfit, func(key string) bool {
			_, has := p.Definition[key]
			return has
		})
	}
	return bounded(definitionOf(q.host.policies, q.name, fits), definitionOf(q.host.bounds, q.name, fits))
}

// obey works out which limits are in effect, of the queue's own and those of its policy.
func (q *queue) obey() {
	q.limits = q.own
	s := q.host.server
	definition := q.policy()
	if definition != nil {
		p := limits{
			kind: q.kind, ttl: noTTL, maxLength: unlimited, maxBytes: unlimited, deliveryLimit: unlimited, patience: noTTL, deadLetters: true,
		}
		for _, k := range s.policyKeys() {
			if value, given := definition[k.name]; given && k.read != nil {
				k.read(&p, value)
			}
		}
		if q.kind != quorum && s.has(versions.ChecksTimeouts) {
			p.patience = noTTL
		}
		q.combine(p, definition, q.kind == quorum && s.has(versions.PolicyLeases))
	}
	if q.kind == quorum && q.arguments[deliveryLimit] == nil && definition["delivery-limit"] == nil {
		q.deliveryLimit = s.deliveryLimit()
	}
}

// obeyAnew obeys policies that have changed.
func (q *queue) obeyAnew() {
	lease, patience := q.lease, q.patience
	q.obey()
	if q.lease != lease {
		q.renew()
	}
	if q.patience != patience {
		q.expectAnew()
	}
	q.touch()
}
