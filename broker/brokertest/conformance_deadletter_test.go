package brokertest_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/everhop/everhop/broker/internal/versions"
)

var deadLetterScenarios = []scenario{
	{"dead letter: expired", deadExpired},
	{"dead letter: expired by its own expiration", deadExpiration},
	{"dead letter: rejected", func(c *client) { deadRejected(c) }},
	{"dead letter: rejected, quorum", func(c *client) { deadRejected(c, "x-queue-type", "quorum") }},
	{"dead letter: nacked, in order", deadInOrder},
	{"dead letter: keeps its key", deadKeepsKey},
	{"dead letter: gets another key", deadOtherKey},
	{"dead letter: headers that were there", deadKeepsHeaders},
	{"dead letter: x-death that was published", deadPublished},
	{"dead letter: x-death that was published is a cycle", deadPublishedCycle},
	{"dead letter: first death that was published", deadPublishedFirst},
	{"dead letter: dies again in another queue", deadElsewhere},
	{"dead letter: the order of many deaths", deadOrder},
	{"dead letter: dies again and again", deadAgain},
	{"dead letter: cycle without a rejection", deadCycle},
	{"dead letter: cycle of two queues", deadCycleOfTwo},
	{"dead letter: exchange is missing", deadNowhere},
	{"dead letter: exchange comes later", deadLater},
	{"dead letter: requeued is not dead", deadNotRequeued},
	{"dead letter: acked, purged and deleted are not dead", deadNotPurged},
}

// dying declares the scenario's queue, whose dead letters go to the one returned.
func (ch *channel) dying(args ...any) (dead string) {
	c := ch.c
	c.Helper()
	dead = ch.queueNamed(c.other("dead"))
	args = append(args, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead)
	if len(args) > 4 && args[1] == "quorum" {
		ch.durable(c.name, args...)
	} else {
		ch.queue(args...)
	}
	return dead
}

// death is an entry of x-death.
func death(reason, queue, exchange string, count int64, keys ...any) amqp.Table {
	return amqp.Table{"count": count, "reason": reason, "queue": queue, "exchange": exchange, "routing-keys": keys}
}

// wantDeaths compares all headers with these deaths, the latest first, and what follows from the first of all.
func (c *client) wantDeaths(d amqp.Delivery, first amqp.Table, deaths ...any) {
	c.Helper()
	want := amqp.Table{
		"x-death":                deaths,
		"x-first-death-reason":   first["reason"],
		"x-first-death-queue":    first["queue"],
		"x-first-death-exchange": first["exchange"],
	}
	if last := deaths[0].(amqp.Table); c.has(versions.LastDeath) {
		want["x-last-death-reason"] = last["reason"]
		want["x-last-death-queue"] = last["queue"]
		want["x-last-death-exchange"] = last["exchange"]
	}
	delete(d.Headers, "x-delivery-count") // from where it died
	delete(d.Headers, "x-acquired-count")
	noTime := cmpopts.IgnoreMapEntries(func(name string, value any) bool {
		at, ok := value.(time.Time)
		return ok && name == "time" && time.Since(at).Abs() < time.Minute
	})
	if diff := cmp.Diff(want, d.Headers, noTime); diff != "" {
		c.Errorf("headers (-want +got):\n%s", diff)
	}
	givenOut := slices.ContainsFunc(deaths, func(death any) bool {
		reason := death.(amqp.Table)["reason"]
		return reason == "rejected" || reason == "delivery_limit"
	})
	if want := givenOut && c.has(versions.DeadRedelivered); d.Redelivered != want {
		c.Errorf("redelivered %t, want %t", d.Redelivered, want)
	}
	list, _ := d.Headers["x-death"].([]any)
	for _, entry := range list {
		if _, ok := entry.(amqp.Table)["time"].(time.Time); !ok {
			c.Errorf("%v has no time", entry)
		}
	}
}

func deadExpired(c *client) {
	ch := c.channel()
	dead := ch.dying("x-message-ttl", 1)
	ch.publish(c.name, "1", "2", "3")
	consumer := ch.consume(dead, consuming{})
	want := death("expired", c.name, "", 1, c.name)
	for _, body := range []string{"1", "2", "3"} {
		got := consumer.want(body)
		c.wantDeaths(got, want, want)
		if got.Exchange != "" || got.RoutingKey != dead {
			c.Errorf("came by %q with key %q", got.Exchange, got.RoutingKey)
		}
	}
}

func deadExpiration(c *client) {
	ch := c.channel()
	dead := ch.dying()
	ch.send("", c.name, amqp.Publishing{Expiration: "1", MessageId: "m", DeliveryMode: 2, Priority: 3, Body: []byte("1")})
	got := ch.get(dead)
	want := death("expired", c.name, "", 1, c.name)
	want["original-expiration"] = "1"
	c.wantDeaths(got, want, want)
	if got.Expiration != "" || got.MessageId != "m" || got.DeliveryMode != 2 || got.Priority != 3 {
		c.Errorf("expiration %q, id %q, mode %d, priority %d", got.Expiration, got.MessageId, got.DeliveryMode, got.Priority)
	}
}

func deadRejected(c *client, args ...any) {
	ch := c.channel()
	dead := ch.dying(args...)
	ch.exchange("direct")
	ch.bind(c.name, "k", c.name)
	ch.send(c.name, "k", amqp.Publishing{Expiration: "60000", Body: []byte("1")})
	c.ok(ch.get(c.name).Reject(false))
	want := death("rejected", c.name, c.name, 1, "k")
	want["original-expiration"] = "60000"
	c.wantDeaths(ch.get(dead), want, want)
}

func deadInOrder(c *client) {
	ch := c.channel()
	dead := ch.dying()
	ch.publish(c.name, "1", "2", "3")
	for range 3 {
		ch.get(c.name)
	}
	c.ok(ch.Nack(3, true, false))
	ch.wantQueue(dead, "1", "2", "3")
}

func deadKeepsKey(c *client) {
	ch := c.channel()
	ch.exchange("direct")
	ch.queueNamed(c.other("dead"))
	ch.bind(c.other("dead"), c.name, c.name)
	ch.queue("x-dead-letter-exchange", c.name, "x-message-ttl", 1)
	ch.publish(c.name, "1")
	if got := ch.get(c.other("dead")); got.RoutingKey != c.name || got.Exchange != c.name {
		c.Errorf("came by %q with key %q", got.Exchange, got.RoutingKey)
	}
}

func deadOtherKey(c *client) {
	ch := c.channel()
	ch.exchange("topic")
	ch.queueNamed(c.other("dead"))
	ch.bind(c.other("dead"), "a.#", c.name)
	ch.queue("x-dead-letter-exchange", c.name, "x-dead-letter-routing-key", "a.b", "x-message-ttl", 1)
	ch.publish(c.name, "1")
	if got := ch.get(c.other("dead")); got.RoutingKey != "a.b" || got.Exchange != c.name {
		c.Errorf("came by %q with key %q", got.Exchange, got.RoutingKey)
	}
}

func deadKeepsHeaders(c *client) {
	ch := c.channel()
	dead := ch.dying("x-message-ttl", 1)
	ch.send("", c.name, amqp.Publishing{Headers: amqp.Table{"mine": "x", "x-first-death-reason": "forged", "x-death": "forged"}})
	got := ch.get(dead).Headers
	if deaths, ok := got["x-death"].([]any); got["mine"] != "x" || !ok || len(deaths) != 1 {
		c.Errorf("headers %v", got)
	}
}

func deadElsewhere(c *client) {
	ch := c.channel()
	middle, end := c.other("middle"), c.other("end")
	ch.queueNamed(end)
	ch.queueNamed(middle, "x-message-ttl", 1, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", end)
	ch.queue("x-dead-letter-exchange", "", "x-dead-letter-routing-key", middle)
	ch.publish(c.name, "1")
	c.ok(ch.get(c.name).Reject(false))
	first, second := death("rejected", c.name, "", 1, c.name), death("expired", middle, "", 1, middle)
	c.wantDeaths(ch.get(end), first, second, first)
}

// deadAgain is the usual way to try again later: rejected, it waits in another queue.
func deadAgain(c *client) {
	ch := c.channel()
	wait := c.other("wait")
	ch.queueNamed(wait, "x-message-ttl", 1, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", c.name)
	ch.queue("x-dead-letter-exchange", "", "x-dead-letter-routing-key", wait)
	ch.publish(c.name, "1")
	c.ok(ch.get(c.name).Reject(false))
	for count := range int64(3) {
		got := ch.get(c.name)
		rejected, expired := death("rejected", c.name, "", count+1, c.name), death("expired", wait, "", count+1, wait)
		c.wantDeaths(got, rejected, expired, rejected)
		c.ok(got.Reject(false))
	}
}

func deadCycle(c *client) {
	ch := c.channel()
	ch.queue("x-message-ttl", 1, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", c.name)
	ch.publish(c.name, "1")
	ch.timer("1").want("time")
	ch.wantQueue(c.name)
}

func deadCycleOfTwo(c *client) {
	ch := c.channel()
	other := c.other("other")
	ch.queueNamed(other, "x-message-ttl", 1, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", c.name)
	ch.queue("x-message-ttl", 1, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", other)
	ch.publish(c.name, "1")
	ch.timer("1").want("time")
	ch.wantQueue(c.name)
	ch.wantQueue(other)
}

func deadNowhere(c *client) {
	ch := c.channel()
	ch.queue("x-dead-letter-exchange", c.other("missing"))
	ch.publish(c.name, "1", "2")
	c.ok(ch.get(c.name).Reject(false))
	ch.wantQueue(c.name, "2")
}

func deadLater(c *client) {
	ch := c.channel()
	ch.queue("x-dead-letter-exchange", c.name)
	ch.publish(c.name, "1")
	held := ch.get(c.name)
	ch.exchange("fanout")
	ch.queueNamed(c.other("dead"))
	ch.bind(c.other("dead"), "", c.name)
	c.ok(held.Reject(false))
	if c.has(versions.DeadRedelivered) {
		ch.wantQueue(c.other("dead"), "1R")
	} else {
		ch.wantQueue(c.other("dead"), "1")
	}
}

func deadNotRequeued(c *client) {
	ch := c.channel()
	dead := ch.dying()
	ch.publish(c.name, "1")
	c.ok(ch.get(c.name).Reject(true))
	ch.wantQueue(c.name, "1R")
	ch.wantQueue(dead)
}

func deadNotPurged(c *client) {
	ch := c.channel()
	dead := ch.dying()
	ch.publish(c.name, "1", "2")
	c.ok(ch.get(c.name).Ack(false))
	_, err := ch.QueuePurge(c.name, false)
	c.ok(err)
	ch.publish(c.name, "3")
	_, err = ch.QueueDelete(c.name, false, false, false)
	c.ok(err)
	ch.wantQueue(dead)
}

// deadPublished has clients tell of deaths. They are merged by queue and reason, or count for nothing.
func deadPublished(c *client) {
	uncounted := func(d amqp.Table) amqp.Table {
		delete(d, "count")
		return d
	}
	own := death("expired", c.name, "", 1, c.name)
	ch := c.channel()
	dead := ch.dying("x-message-ttl", 1)
	for _, test := range []struct{ published, want []any }{
		{[]any{}, []any{own}},
		{[]any{death("rejected", "a", "e", 3, "k")}, []any{own, death("rejected", "a", "e", 3, "k")}},
		{[]any{uncounted(death("rejected", "a", "e", 0, "k"))}, []any{own, uncounted(death("rejected", "a", "e", 0, "k"))}},
		{[]any{death("expired", c.name, "e", 7, "k")}, []any{death("expired", c.name, "e", 8, "k")}},
		{[]any{uncounted(death("expired", c.name, "e", 0, "k"))}, []any{death("expired", c.name, "e", 1, "k")}},
		{
			[]any{
				death("rejected", "a", "e", 3, "k"), death("expired", c.name, "e", 7, "k"), uncounted(death("expired", "b", "e", 0, "k")),
				death("rejected", "a", "other", 9), uncounted(death("expired", "b", "other", 0)), death("expired", "a", "e", 2, "k"),
			},
			[]any{
				death("expired", c.name, "e", 8, "k"), death("expired", "a", "e", 2, "k"), death("expired", "b", "e", 2, "k"),
				death("rejected", "a", "e", 3, "k"),
			},
		},
	} {
		want := test.want
		if c.has(versions.KnowsDeaths) {
			want = []any{own}
		}
		ch.send("", c.name, amqp.Publishing{Headers: amqp.Table{"x-death": test.published}})
		noTime := cmpopts.IgnoreMapEntries(func(name string, _ any) bool { return name == "time" })
		got, _ := ch.get(dead).Headers["x-death"].([]any)
		if diff := cmp.Diff(want, got, noTime, cmpopts.EquateEmpty()); diff != "" {
			c.Errorf("x-death of %v (-want +got):\n%s", test.published, diff)
		}
	}
}

// deadPublishedCycle: who was in the target before, and was not rejected, does not get there, whoever says so.
func deadPublishedCycle(c *client) {
	ch := c.channel()
	dead := ch.dying("x-message-ttl", 1)
	ch.send("", c.name, amqp.Publishing{
		Headers: amqp.Table{"x-death": []any{death("expired", dead, "", 1, "k")}}, Body: []byte("1"),
	})
	ch.publish(c.name, "2")
	if c.has(versions.KnowsDeaths) {
		ch.consume(dead, consuming{}).want("1", "2")
	} else {
		ch.consume(dead, consuming{}).want("2")
	}
}

func deadPublishedFirst(c *client) {
	ch := c.channel()
	dead := ch.dying("x-message-ttl", 1)
	ch.send("", c.name, amqp.Publishing{Headers: amqp.Table{"x-first-death-reason": "forged"}})
	if got := ch.get(dead).Headers["x-first-death-reason"]; got != "expired" {
		c.Errorf("x-first-death-reason %v", got)
	}
}

// deadOrder: before the broker knew deaths itself, each death turned the ones before round.
func deadOrder(c *client) {
	ch := c.channel()
	name := func(i int) string { return c.other(fmt.Sprint(i)) }
	ch.queueNamed(name(4))
	for i := 3; i >= 0; i-- {
		ch.queueNamed(name(i), "x-dead-letter-exchange", "", "x-dead-letter-routing-key", name(i+1))
	}
	ch.publish(name(0), "1")
	for i := range 4 {
		held := ch.get(name(i))
		for begin := time.Now(); time.Since(begin) < 3*time.Millisecond; { // which tell deaths apart
			ch.sync()
		}
		c.ok(held.Reject(false))
	}
	var got []int
	deaths, _ := ch.get(name(4)).Headers["x-death"].([]any)
	for _, death := range deaths {
		queue := death.(amqp.Table)["queue"].(string)
		got = append(got, int(queue[len(queue)-1]-'0'))
	}
	want := []int{3, 1, 0, 2}
	if c.has(versions.KnowsDeaths) {
		want = []int{3, 2, 1, 0}
	}
	if !slices.Equal(got, want) {
		c.Errorf("deaths %v, want %v", got, want)
	}
}
