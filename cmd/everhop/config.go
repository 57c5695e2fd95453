package main

import (
	"errors"
	"math"
	"slices"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/cmd/everhop/internal/record"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// subscription is all that is the same for each queue, but the handler.
func (f *consumption) subscription() consumer.Subscription {
	s := consumer.Subscription{
		Concurrency:   f.concurrency,
		Prefetch:      f.prefetch,
		PrefetchBytes: int64(f.prefetchBytes),

		Retry:         f.outcomes.retry(f.source.isTemporary()),
		Breaker:       consumer.Breaker(f.outcomes.breaker),
		DeliveryLimit: f.deliveryLimit,
		Dedup:         consumer.Dedup{Window: f.dedup},
	}
	if f.runs() && s.Prefetch == 0 { // none waits behind a slow command as long as another consumer is free
		s.Prefetch = s.Concurrency
		if f.count > 0 || f.ending.byItself() { // but what there is, is to be done with: the next command waits for no round trip
			s.Prefetch = min(s.Prefetch+1, math.MaxUint16)
		}
	}
	f.source.apply(&s)
	if f.every > 0 && s.Prefetch == 0 {
		s.Prefetch = max(s.Concurrency, min(consumer.DefaultPrefetch, paceAhead(f.every)))
	}
	if f.keyHeader != "" {
		s.OrderingKey = func(d *consumer.Delivery) string { return record.Text(d.Headers[f.keyHeader]) }
	}
	if f.count > 0 { // do not take what would only be given back
		s.Concurrency = min(s.Concurrency, f.count)
		if s.Prefetch == 0 {
			s.Prefetch = max(consumer.DefaultPrefetch, s.Concurrency)
		}
		s.Prefetch = min(s.Prefetch, f.count)
	}
	return s
}

func (f *consumption) config(urls []string, s consumer.Subscription, logger zerolog.Logger, stop func()) consumer.Config {
	return consumer.Config{
		URLs:          urls,
		Credentials:   f.access.credentials(urls),
		TLS:           f.access.secured(),
		Subscriptions: f.source.each(s),
		Name:          f.name,
		DrainTimeout:  f.silence,
		ProbeTimeout:  f.probe,
		Heartbeat:     f.heartbeat,
		GracePeriod:   f.grace,

		MaxReviveAttempts: f.reviveAttempts,
		Logger:            logger,
		Observers: []func(fsm.Event){func(e fsm.Event) {
			// Whoever waits for a place must not keep a consumer that has given up. ProcessRestarted tells of
			// the run before.
			if e.Kind == fsm.KindTransition && e.To == consumer.Disconnected && e.Trigger != consumer.ProcessRestarted {
				stop()
			}
		}},
	}
}

// outcomes are the flags that say what becomes of a message that fails.
type outcomes struct {
	attempts             int
	backoff              backoffFlag
	breaker              breakerFlag // none: zero
	poison, parkingQueue string
}

func (f *outcomes) add(cmd *cobra.Command) {
	f.attempts, f.backoff, f.poison = defaultAttempts, defaultBackoff, string(consumer.Park)
	flags := cmd.Flags()
	flags.Var(number(&f.attempts, noMost), "attempts", "failures after which a message is poison")
	flags.Var(backoff(&f.backoff), "backoff", "pauses between its attempts: about FIRST, and twice as long each time, up to MAX; one duration is for all of them")
	flags.Var(breaker(&f.breaker), "breaker", "after N failures in a row, of any messages, pause for PAUSE; more than --attempts times --concurrency (default never)")
	choose(cmd, &f.poison, "poison", "what to do with poison: move it to the parking queue, dead-letter it, or have it handled again and again",
		string(consumer.Park), string(consumer.DeadLetter), string(consumer.PutBack))
	flags.Var(name(&f.parkingQueue, "QUEUE"), "parking-queue", "queue to park poison in; created, durable, if it is missing (default QUEUE.parked)")
	for _, flag := range []string{"attempts", "backoff", "breaker", "parking-queue"} {
		complete(cmd, flag)
	}
}

// check returns what is wrong with the flags for consuming queues.
func (f *outcomes) check(cmd *cobra.Command, queues []string) error {
	parks, named := f.poison == string(consumer.Park), cmd.Flags().Changed("parking-queue")
	nameless := func(queue string) bool { return broker.CheckName(consumer.DefaultParkingQueue(queue)) != nil }
	switch {
	case named && !parks:
		return errors.New("--parking-queue: nothing is parked with --poison " + f.poison)
	case named && f.parkingQueue == "":
		return errors.New("--parking-queue: empty")
	case named && slices.Contains(queues, f.parkingQueue) && !consumer.IsParkingQueue(f.parkingQueue):
		return errors.New("--parking-queue: it is the queue itself")
	case parks && !named && slices.ContainsFunc(queues, nameless):
		return errors.New("--parking-queue is missing, and the queue's name is too long to make one of")
	case parks && !named && len(queues) == 0 && cmd.Flags().Changed("poison"):
		return errors.New("--parking-queue is missing, and a temporary queue has no name to make one of")
	}
	return nil
}

// retry is for queues that have names, or for a temporary one: what is poison there is put back, unless it is said where
// to park it.
func (f *outcomes) retry(temporary bool) consumer.Retry {
	r := consumer.Retry{
		Attempts: f.attempts, Backoff: consumer.Backoff(f.backoff),
		Poison: consumer.Poison(f.poison), ParkingQueue: f.parkingQueue,
	}
	if temporary && r.Poison == consumer.Park && r.ParkingQueue == "" {
		r.Poison = consumer.PutBack
	}
	return r
}
