package doctor

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/everhop/everhop/broker"
)

// usualTimeout is RabbitMQ's consumer_timeout, unless it is configured.
const usualTimeout = 30 * time.Minute

// queue says what is known of the queue, and what it means for who consumes from it.
func (c *clinic) queue(ctx context.Context, s *broker.Session) {
	facts, err := s.ExamineQueue(ctx, c.Queue)
	if err != nil {
		c.noQueue(s, err)
		return
	}
	kind, _ := facts.Arguments["x-queue-type"].(string)
	switch {
	case facts.Unknown != nil && c.known != nil:
		kind = c.known.kind
		c.ok("queue", c.Queue, "%s, %d ready, %d consumers%s", kind, facts.Ready, facts.Consumers, others(c.known.arguments))
		c.arguments(*c.known, major(s))
	case facts.Unknown != nil:
		c.warn("queue", c.Queue, fmt.Sprintf("%d ready, %d consumers; how it was declared is not known: %s", facts.Ready, facts.Consumers, said(facts.Unknown)),
			"nothing needs to be done; to know it, give --management, or let the user configure the queue")
	default:
		c.ok("queue", c.Queue, "%s, %d ready, %d consumers%s", properties(facts, kind), facts.Ready, facts.Consumers, others(facts.Arguments))
		d := declared{kind, facts.Durable, facts.Arguments, nil}
		if c.known != nil {
			d.policy = c.known.policy
		}
		c.arguments(d, major(s))
	}
	if facts.Ready > 0 && facts.Consumers == 0 {
		c.warn("consumers", c.Queue, fmt.Sprintf("%d messages wait, and nobody consumes", facts.Ready), "start a consumer, or find out why the last one ended: everhop status, everhop replay")
	}
	if facts.Arguments["x-single-active-consumer"] == true && facts.Consumers > 0 {
		c.warn("consumers", c.Queue, fmt.Sprintf("single active consumer: one of %d gets all messages, and another one waits until that is gone", facts.Consumers),
			"it is in order for a standby; to have several work at once, declare the queue without x-single-active-consumer")
	}
	c.timeout(s, kind)
}

func (c *clinic) noQueue(s *broker.Session, err error) {
	class, _ := broker.Classify(err)
	switch class {
	case broker.NotFound:
		c.broken("queue", c.Queue, fmt.Sprintf("there is no such queue in the virtual host %q", s.Endpoint().VHost()), "check its name and the virtual host (rabbitmqctl list_queues -p), or consume with --declare")
	case broker.Exclusive:
		c.broken("queue", c.Queue, "another connection holds the queue for itself: "+said(err), "end that consumer (rabbitmqctl list_queues name owner_pid), or use another queue")
	case broker.Auth:
		c.warn("queue", c.Queue, "it cannot be looked at: "+said(err), "from RabbitMQ 4.3 on that takes the permission to configure it; consuming does not")
	case broker.Overdue, broker.BrokerShutdown:
		c.broken("queue", c.Queue, "it does not answer: "+said(err), "most of its nodes are down, or its process hangs: rabbitmq-diagnostics check_running on each node, rabbitmq-queues quorum_status "+c.Queue)
	default:
		c.broken("queue", c.Queue, said(err), "look at the broker's log")
	}
}

func properties(facts broker.QueueFacts, kind string) string {
	words := []string{kind}
	if !facts.Durable {
		words = append(words, "transient")
	}
	if facts.AutoDelete {
		words = append(words, "auto-delete")
	}
	return strings.Join(words, ", ")
}

// told are the arguments that are worth a word.
var told = []string{"x-single-active-consumer", "x-delivery-limit", "x-dead-letter-exchange", "x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-overflow", "x-consumer-timeout"}

func others(arguments map[string]any) string {
	var words []string
	for _, name := range told {
		if value, there := arguments[name]; there {
			words = append(words, fmt.Sprintf("%s %v", strings.TrimPrefix(name, "x-"), value))
		}
	}
	if words == nil {
		return ""
	}
	return "; " + strings.Join(words, ", ")
}

// declared is what decides what may happen to a queue's messages.
type declared struct {
	kind      string
	durable   bool
	arguments map[string]any
	policy    map[string]any // nil: not known
}

// value is what an argument or a policy says. Of two numbers the lower one counts, and of two texts that of the argument;
// but overflow of quorum queues is the policy's. The scenarios of policies in broker/brokertest show it.
func (d declared) value(name string) (value any, by string) {
	argument, declared := d.arguments["x-"+name]
	policy, set := d.policy[name]
	switch {
	case set && (!declared || name == "overflow" && d.kind == "quorum" || isLess(policy, argument)):
		return policy, "by its policy"
	case declared:
		return argument, "as it was declared"
	}
	return nil, ""
}

// isLess is false of what are no numbers; below 0 means that there is no limit.
func isLess(a, b any) bool {
	limit := func(v any) float64 {
		n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
		switch {
		case err != nil:
			return math.NaN()
		case n < 0:
			return math.Inf(1)
		}
		return n
	}
	return limit(a) < limit(b)
}

func major(s *broker.Session) int {
	major, _ := s.ServerVersion()
	return major
}

// arguments says what may happen to messages because of arguments and policies. The version is 0 if it is not known.
func (c *clinic) arguments(d declared, version int) {
	exchange, _ := d.value("dead-letter-exchange")
	dead := exchange != nil
	limit, by := d.value("delivery-limit")
	if limit == nil && version >= 4 {
		limit, by = "20", "by default"
	}
	if limit != nil && d.kind == "quorum" && !dead && !strings.HasPrefix(fmt.Sprint(limit), "-") {
		unless := ""
		if d.policy == nil {
			unless = ", unless a policy gives it one (--management shows that)"
		}
		c.warn("delivery_limit", c.Queue, fmt.Sprintf("a message that comes back more than %v times (%s) is dropped: the queue has no dead-letter exchange%s", limit, by, unless),
			fmt.Sprintf("give it one: declare %[2]s.dead, and rabbitmqctl set_policy -p '%[1]s' --apply-to queues '%[2]s.dead' '^%[3]s$' '{\"dead-letter-exchange\":\"\",\"dead-letter-routing-key\":\"%[2]s.dead\"}'; only one policy applies to a queue: if there is one, add it to that",
				c.Endpoints[0].VHost(), c.Queue, regexp.QuoteMeta(c.Queue)))
	}
	if !d.durable {
		c.warn("durability", c.Queue, "the queue is transient: it and its messages are gone when the broker restarts", "declare it durable; from RabbitMQ 4.3 on transient queues are refused")
	}
	length, by := d.value("max-length")
	unit := "messages"
	if length == nil {
		length, by = d.value("max-length-bytes")
		unit = "bytes"
	}
	overflow, _ := d.value("overflow")
	if length != nil && !dead && !strings.HasPrefix(fmt.Sprint(overflow), "reject-publish") && d.kind != "stream" {
		c.warn("overflow", c.Queue, fmt.Sprintf("beyond %v %s (%s) the oldest are dropped", length, unit, by), "give it overflow reject-publish, or a dead-letter exchange")
	}
	if ttl, by := d.value("message-ttl"); ttl != nil && !dead {
		c.warn("ttl", c.Queue, fmt.Sprintf("messages are dropped after %vms (%s)", ttl, by), "give it a dead-letter exchange, or no message-ttl")
	}
	if d.kind == "stream" {
		c.warn("type", c.Queue, "it is a stream: messages stay in it, and each consumer begins where it says", "consume with --stream-offset first, last, next, an offset or an age")
	}
}

// timeout compares how long a consumer may have a message with how long it does.
func (c *clinic) timeout(s *broker.Session, kind string) {
	if c.HandlingTime == 0 {
		return
	}
	major, minor := s.ServerVersion()
	if (major > 4 || major == 4 && minor >= 3) && (kind == "classic" || kind == "stream") {
		c.ok("timeout", c.Queue, "a %s of this version has no consumer_timeout", map[string]string{"classic": "classic queue", "stream": "stream"}[kind])
		return
	}
	last := time.Duration(c.Prefetch) * c.HandlingTime
	text := fmt.Sprintf("%d messages of %v each, one after the other: the last one is acknowledged after %v; consumer_timeout is 30m unless the broker has another (AMQP does not tell)", c.Prefetch, c.HandlingTime, last)
	if last < usualTimeout {
		c.ok("timeout", c.Queue, "%s", text)
		return
	}
	if c.HandlingTime >= usualTimeout {
		c.warn("timeout", c.Queue, text, "raise consumer_timeout in rabbitmq.conf, or make the handler faster: one message alone takes too long")
		return
	}
	c.warn("timeout", c.Queue, text, fmt.Sprintf("lower --prefetch to %d or less, raise --concurrency, or raise consumer_timeout in rabbitmq.conf", max(1, int64(usualTimeout/2/max(c.HandlingTime, 1)))))
}
