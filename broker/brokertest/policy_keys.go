package brokertest

import (
	"cmp"
	"maps"
	"time"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// policyKey is something that a policy may ask for.
type policyKey struct {
	name   string
	unfit  kind             // of queues for which a policy with it is not
	bounds bool             // an operator policy may ask for it, too
	where  versions.Feature // of the versions that have it so; "" is all
	unless versions.Feature // of those that do not
	// read takes the value over, or says what is wrong with it; nil takes anything.
	read func(l *limits, value any) (problem string)
}

// everyPolicyKey. Nothing comes of those that RabbitMQ needs for what this broker has not, such as disks and other nodes.
var everyPolicyKey = []policyKey{
	{name: alternateExchange, read: readText},
	{name: "expires", unfit: stream, bounds: true, read: readAs("x-expires")},
	{name: "message-ttl", unfit: stream, bounds: true, read: readAs("x-message-ttl")},
	{name: "max-length", unfit: stream, bounds: true, read: readAs("x-max-length")},
	{name: "max-length-bytes", bounds: true, read: readAs("x-max-length-bytes")},
	{name: "overflow", unfit: stream, unless: versions.BoundsMore, read: readAs("x-overflow")},
	{name: "overflow", unfit: stream, where: versions.BoundsMore, bounds: true, read: readAs("x-overflow")},
	{name: "dead-letter-exchange", unfit: stream, read: readAs("x-dead-letter-exchange")},
	{name: "dead-letter-routing-key", unfit: stream, read: readAs("x-dead-letter-routing-key")},
	{name: "dead-letter-strategy", unfit: classic | stream, read: readAs("x-dead-letter-strategy")},
	{name: "delivery-limit", unfit: classic | stream, unless: versions.DefaultLimit, bounds: true, read: readLimit},
	{name: "delivery-limit", unfit: classic | stream, where: versions.DefaultLimit, bounds: true, read: readLimitOrNone},
	{name: "consumer-timeout", where: versions.PolicyTimesOut, read: readPatience},
	{name: "consumer-disconnected-timeout", where: versions.ChecksTimeouts, read: counted},
	{name: "max-in-memory-length", unfit: stream, unless: versions.BoundsMore, bounds: true, read: counted},
	{name: "max-in-memory-length", unfit: classic | stream, where: versions.BoundsMore, bounds: true, read: counted},
	{name: "max-in-memory-bytes", unfit: stream, unless: versions.BoundsMore, bounds: true, read: counted},
	{name: "max-in-memory-bytes", unfit: classic | stream, where: versions.BoundsMore, bounds: true, read: counted},
	{name: "queue-mode", unfit: quorum | stream, read: readAs("x-queue-mode")},
	{name: "queue-version", unless: versions.BoundsMore, read: readAs("x-queue-version")},
	{name: "queue-version", where: versions.BoundsMore, bounds: true, read: readAs("x-queue-version")},
	{name: "queue-leader-locator", unfit: classic, unless: versions.LocatesClassic, read: readLocator},
	{name: "queue-leader-locator", where: versions.LocatesClassic, read: readLocator},
	{name: "initial-cluster-size", unfit: classic | quorum, read: counted},
	{name: "target-group-size", unfit: classic | stream, where: versions.BoundsMore, bounds: true, read: aboveZero},
	{name: "max-age", unfit: classic | quorum, read: readAs("x-max-age")},
	{name: "stream-max-segment-size-bytes", unfit: classic | quorum, read: counted},
	{name: "stream-filter-size-bytes", where: versions.BoundsMore, read: counted},
	{name: "queue-master-locator", unfit: quorum | stream, where: versions.MirrorsQueues},
	{name: "ha-mode", unfit: quorum | stream, where: versions.MirrorsQueues},
	{name: "ha-params", unfit: quorum | stream, where: versions.MirrorsQueues},
	{name: "ha-sync-mode", unfit: quorum | stream, where: versions.MirrorsQueues},
	{name: "ha-sync-batch-size", where: versions.MirrorsQueues},
	{name: "ha-promote-on-shutdown", unfit: quorum | stream, where: versions.MirrorsQueues},
	{name: "ha-promote-on-failure", unfit: quorum | stream, where: versions.MirrorsQueues},
}

func (k policyKey) check(value any) (problem string) {
	if k.read == nil {
		return ""
	}
	return k.read(&limits{deadLetters: true}, value)
}

// policyKeys are those that the server's version knows.
func (s *Server) policyKeys() (known []policyKey) {
	for _, k := range everyPolicyKey {
		if (k.where == "" || s.has(k.where)) && (k.unless == "" || !s.has(k.unless)) {
			known = append(known, k)
		}
	}
	return known
}

func readText(_ *limits, v any) string {
	_, ok := v.(string)
	return unlessOK(ok, v)
}

// readAs reads as the argument of that name is read.
func readAs(name string) func(*limits, any) string {
	for _, a := range everyArgument {
		if a.name == name {
			return a.read
		}
	}
	panic("brokertest: there is no argument " + name)
}

// bounded is what a policy asks for, as far as an operator's lets it.
func bounded(definition, bounds wire.Table) wire.Table {
	if len(bounds) == 0 {
		return definition
	}
	both := wire.Table{}
	maps.Copy(both, definition)
	for key, bound := range bounds {
		own, isNumber := integer(both[key])
		most, _ := integer(bound)
		noLimit := own < 0 || most < 0 // which only a delivery-limit can be
		if !isNumber || key == "queue-version" || noLimit && most > own || !noLimit && most < own {
			both[key] = bound
		}
	}
	return both
}

// combine adds what a policy asks for, whose lease may count before the queue's own.
func (l *limits) combine(p limits, definition wire.Table, leaseCounts bool) {
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
	if leaseCounts {
		l.lease = cmp.Or(p.lease, l.lease)
	} else {
		shorter(&l.lease, p.lease, 0)
	}
	shorter(&l.patience, p.patience, noTTL)
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
