package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/everhop/everhop/broker"
)

const (
	// lateness is a heartbeat after which a dead consumer keeps its messages for too long.
	lateness = 60 * time.Second
	// narrow is a channel_max that leaves room for hardly anything.
	narrow = 8
	// small is a frame_max that headers may not fit into: RabbitMQ's own is 131072.
	small = 8192
	// slow is a round trip that is worth a warning.
	slow = 250 * time.Millisecond
	// trips is how many round trips are timed.
	trips = 9
)

// peer says who the broker is, and what was negotiated.
func (c *clinic) peer(e broker.Endpoint, s *broker.Session) {
	p := s.Peer()
	major, minor := s.ServerVersion()
	switch {
	case p.Product != "" && !strings.Contains(p.Product, "RabbitMQ") && !strings.Contains(p.Product, "brokertest"):
		c.ok("broker", e.String(), "%s %s; Everhop is tested with RabbitMQ", p.Product, p.Version)
	case major == 0:
		c.ok("broker", e.String(), "a broker that does not name its version")
	case major == 3 && minor < 8:
		c.warn("broker", e.String(), "RabbitMQ "+p.Version+", which has no quorum queues or not all they need", "upgrade it: Everhop is tested with 3.10 and newer")
	default:
		c.ok("broker", e.String(), "RabbitMQ %s%s: %s", p.Version, named(p.Cluster), meaning(major, minor))
	}
	switch {
	case p.Heartbeat == 0:
		c.warn("heartbeat", e.String(), "none: broker and consumer notice late that the other is gone", "set heartbeat in rabbitmq.conf to 60 or less")
	case p.Heartbeat > lateness:
		c.warn("heartbeat", e.String(), fmt.Sprintf("%v: for so long and longer the broker keeps the messages of a consumer that is gone", p.Heartbeat),
			"leave heartbeat out of the URL (10s), or set a shorter one")
	default:
		c.ok("heartbeat", e.String(), "%v", p.Heartbeat)
	}
	switch {
	case p.FrameMax != 0 && p.FrameMax < small, p.ChannelMax != 0 && p.ChannelMax < narrow:
		c.warn("limits", e.String(), fmt.Sprintf("frames of %d bytes, %d channels", p.FrameMax, p.ChannelMax),
			"each subscription takes a channel, and a message's headers must fit into one frame: raise channel_max (in the URL, or at the broker) and frame_max (at the broker)")
	default:
		c.ok("limits", e.String(), "frames of %d bytes, %d channels", p.FrameMax, p.ChannelMax)
	}
}

func named(cluster string) string {
	if cluster == "" {
		return ""
	}
	return " (" + cluster + ")"
}

// meaning is what a version does otherwise than others.
func meaning(major, minor int) string {
	var words []string
	say := func(text string) { words = append(words, text) }
	if major < 4 {
		say("a quorum queue has a delivery limit only if it is given one")
	} else {
		say("a quorum queue has a delivery limit of 20 unless it is given another")
	}
	switch {
	case major > 4 || major == 4 && minor >= 3:
		say("past consumer_timeout (30m by default) a consumer of a quorum queue is cancelled; of classic queues there is none")
		say("transient queues that are not exclusive are refused")
	case major == 4:
		say("past consumer_timeout (30m by default) a channel is closed")
		say("transient queues that are not exclusive are deprecated, and may be refused")
	default:
		say("past consumer_timeout (30m by default, from 3.8.17 on) a channel is closed")
	}
	return strings.Join(words, "; ")
}

// atTheSameTime is how far apart two words of the broker may come in.
const atTheSameTime = 200 * time.Millisecond

// alarms publishes what goes nowhere: whether the broker lets anybody, and this user. It returns whether it does.
func (c *clinic) alarms(ctx context.Context, s *broker.Session) bool {
	e := s.Endpoint()
	ctx, cancel := c.step(ctx)
	defer cancel()
	p, err := broker.OpenPublisher(ctx, c.plan(e))
	if err != nil {
		c.broken("alarms", "", "no connection for publishing can be opened: "+said(err), "look at limits of connections and channels, and at the broker's log")
		return false
	}
	defer func() {
		closing, closed := context.WithTimeout(context.Background(), time.Second)
		defer closed()
		_ = p.Close(closing)
	}()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		var confirm *broker.Confirm
		if confirm, err = p.Publish(ctx, broker.Message{RoutingKey: "everhop.doctor." + rand.Text()}); err == nil {
			err = confirm.Wait(ctx)
		}
	}()
	var blocked broker.Blocked
	var enough <-chan time.Time
	// The broker takes the first message still, and tells of the alarm at the same time.
	for over := false; !over && !blocked.Active; {
		select {
		case <-answered:
			answered, enough = nil, time.After(atTheSameTime)
		case <-enough:
			over = true
		case blocked = <-p.BlockedChanges():
		}
	}
	if blocked.Active {
		cancel()
		if answered != nil {
			<-answered // it ends with ctx
		}
		c.broken("alarms", "", "the broker reads nothing that is published: "+blocked.Reason, alarmAdvice(blocked.Reason))
		return false
	}
	class, _ := broker.Classify(err)
	switch {
	case errors.Is(err, broker.ErrUnroutable), err == nil:
		c.ok("alarms", "", "none: the broker takes what is published")
		return true
	case class == broker.Auth:
		c.broken("permissions", c.Queue, fmt.Sprintf("to publish, park and delay, %s may not write to the default exchange: %s", orCertificate(e.User()), said(err)),
			"let the user write to amq.default: rabbitmqctl list_permissions shows what it has, set_permissions changes it (configure, write, read)")
	default:
		c.broken("alarms", "", "what is published is not answered: "+said(err), "look for alarms (rabbitmq-diagnostics alarms), and at the broker's log and load")
	}
	return false
}

func alarmAdvice(reason string) string {
	switch {
	case strings.Contains(reason, "disk"):
		return "make room on the broker's disk, or lower disk_free_limit (rabbitmq-diagnostics alarms)"
	case strings.Contains(reason, "memory"):
		return "consume what waits in long queues, or raise vm_memory_high_watermark (rabbitmq-diagnostics memory_breakdown)"
	}
	return "see which alarm it is: rabbitmq-diagnostics alarms"
}

// roundTrip sends messages through a temporary queue.
func (c *clinic) roundTrip(ctx context.Context, with *broker.Session) {
	plan := c.plan(with.Endpoint())
	plan.Subscriptions = []broker.Subscription{{Declare: &broker.QueueOptions{Exclusive: true, AutoDelete: true}, Prefetch: trips}}
	ctx, cancel := c.step(ctx)
	defer cancel()
	s, err := broker.Open(ctx, plan, 1, 0)
	if err != nil {
		c.broken("round_trip", "", said(err), "look at limits of connections, and at the broker's log")
		return
	}
	defer s.Abort()
	consumer, err := s.Consume(ctx, 0, broker.Intake{})
	if class, _ := broker.Classify(err); class == broker.Auth {
		c.skip("round_trip", "", "the user may make no temporary queue, which nothing else needs ("+said(err)+")")
		return
	}
	if err != nil {
		c.broken("round_trip", "", "no temporary queue: "+said(err), "look at limits of queues and consumers, and at the broker's log")
		return
	}
	out, err := s.OpenPublishChannel(ctx, broker.Receipts{Settled: func(uint64, bool, bool) {}, Returned: func(broker.Returned) {}})
	if err != nil {
		c.broken("round_trip", "", said(err), "look at the broker's log")
		return
	}
	var took []time.Duration
	for range trips {
		begin := time.Now()
		if err := out.Publish(&broker.Message{RoutingKey: consumer.Queue(), Body: []byte("everhop doctor")}); err != nil {
			c.broken("round_trip", "", said(err), "look at the broker's log")
			return
		}
		d, ok := consumer.Receive(ctx.Done())
		if !ok {
			c.broken("round_trip", "", fmt.Sprintf("a message does not come back, after %d that did", len(took)), "look at the broker's load, and for alarms (rabbitmq-diagnostics alarms)")
			return
		}
		took = append(took, time.Since(begin))
		_ = consumer.Ack(d.DeliveryTag)
	}
	slices.Sort(took)
	middle, most := took[len(took)/2], took[len(took)-1]
	text := fmt.Sprintf("%d messages through a temporary queue: p50 %v, max %v", trips, middle.Round(time.Microsecond), most.Round(time.Microsecond))
	if middle > slow {
		c.warn("round_trip", "", text, "the broker is far away or busy: raise --prefetch, so that nothing waits for the next message")
		return
	}
	c.ok("round_trip", "", "%s", text)
}
