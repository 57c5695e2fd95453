package brokertest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

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
	// Definition has the names of arguments, without their x-: expires, message-ttl, max-length, max-length-bytes,
	// overflow, dead-letter-exchange, dead-letter-routing-key, delivery-limit, and alternate-exchange for exchanges.
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
	fail := func(format string, args ...any) error {
		return fmt.Errorf("brokertest: policy %s: %w", name, fmt.Errorf(format, args...))
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
	for _, key := range slices.Sorted(maps.Keys(p.Definition)) {
		read, known := policyKeys[key]
		if !known {
			return fail("%s is not known here, but %q", key, slices.Sorted(maps.Keys(policyKeys)))
		}
		if problem := read(&limits{deadLetters: true}, p.Definition[key]); problem != "" {
			return fail("%s: %s", key, problem)
		}
	}
	p.Definition = maps.Clone(p.Definition)
	return s.changePolicy(p.VirtualHost, fail, func(h *virtualHost) { h.policies[name] = &policy{p, name, expression} })
}

// ClearPolicy ends a policy, if it is there: its queues and exchanges have their own arguments again, or another policy.
// An empty virtual host stands for the first one. It fails when that is not there, and when the server is closed.
func (s *Server) ClearPolicy(vhost, name string) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("brokertest: policy %s: %w", name, fmt.Errorf(format, args...))
	}
	return s.changePolicy(vhost, fail, func(h *virtualHost) { delete(h.policies, name) })
}

func (s *Server) changePolicy(vhost string, fail func(string, ...any) error, change func(*virtualHost)) error {
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
		q.obey()
	}
	return nil
}

// policyKeys read what a policy may have.
var policyKeys = map[string]func(l *limits, value any) (problem string){
	"expires":                 readAs("x-expires"),
	"message-ttl":             readAs("x-message-ttl"),
	"max-length":              readAs("x-max-length"),
	"max-length-bytes":        readAs("x-max-length-bytes"),
	"overflow":                readAs("x-overflow"),
	"dead-letter-exchange":    readAs("x-dead-letter-exchange"),
	"dead-letter-routing-key": readAs("x-dead-letter-routing-key"),
	"delivery-limit":          readAs(deliveryLimit),
	alternateExchange: func(_ *limits, v any) string {
		_, ok := v.(string)
		return unlessOK(ok, v)
	},
}

// readAs reads as the argument of that name is read.
func readAs(name string) func(*limits, any) string {
	at := slices.IndexFunc(everyArgument, func(a argument) bool { return a.name == name })
	return everyArgument[at].read
}

// policyOf finds the definition of the policy for a name, of those that fit.
func (h *virtualHost) policyOf(name string, fits func(*policy) bool) wire.Table {
	var best *policy
	for _, p := range h.policies {
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
	return x.host.policyOf(x.name, func(p *policy) bool { return p.ApplyTo == "all" || p.ApplyTo == "exchanges" })
}

// obey works out which limits are in effect, of the queue's own and those of its policy.
func (q *queue) obey() {
	lease := q.lease
	q.limits = q.own
	s := q.host.server
	if definition := q.policy(); definition != nil {
		p := limits{kind: q.kind, ttl: noTTL, maxLength: unlimited, maxBytes: unlimited, deliveryLimit: unlimited, deadLetters: true}
		for key, value := range definition {
			policyKeys[key](&p, value)
		}
		q.combine(p, definition)
	}
	if q.kind == quorum && q.arguments[deliveryLimit] == nil && q.deliveryLimit == unlimited {
		q.deliveryLimit = s.deliveryLimit()
	}
	if q.lease != lease {
		q.renew()
	}
	q.touch()
}

// policy is the definition of the queue's policy. One that has something for which queues of this type have no use
// is not for them.
func (q *queue) policy() wire.Table {
	targets := []string{"all", "queues", map[kind]string{classic: "classic_queues", quorum: "quorum_queues", stream: "streams"}[q.kind]}
	return q.host.policyOf(q.name, func(p *policy) bool {
		for key := range p.Definition {
			useless := q.kind == classic && key == "delivery-limit" || q.kind == stream && key != "max-length-bytes"
			if useless && key != alternateExchange {
				return false
			}
		}
		return slices.Contains(targets, p.ApplyTo)
	})
}

// combine adds what a policy asks for.
func (l *limits) combine(p limits, definition wire.Table) {
	least := func(own *int, other int) {
		if *own == unlimited || other != unlimited && other < *own {
			*own = other
		}
	}
	shorter := func(own *time.Duration, other, none time.Duration) {
		if *own == none || other != none && other < *own {
			*own = other
		}
	}
	least(&l.maxLength, p.maxLength)
	least(&l.maxBytes, p.maxBytes)
	least(&l.deliveryLimit, p.deliveryLimit)
	shorter(&l.ttl, p.ttl, noTTL)
	shorter(&l.lease, p.lease, 0)
	if mode, given := definition["overflow"].(string); given && (l.kind == quorum || !l.overflows) {
		l.overflow(mode)
	}
	if exchange, given := definition["dead-letter-exchange"].(string); given && !l.deadLetters {
		l.deadLetters, l.deadExchange = true, exchange
	}
	if l.deadKey == nil {
		l.deadKey = p.deadKey
	}
}
