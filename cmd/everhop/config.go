package main

import (
	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

// subscription is all of it but the handler.
func (f *consumption) subscription() consumer.Subscription {
	s := consumer.Subscription{
		Queue:       f.queue,
		Concurrency: f.concurrency,
		Prefetch:    f.prefetch,

		Retry: f.outcomes.retry(),
	}
	if f.declare {
		s.Declare = &broker.QueueOptions{Durable: true}
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
		Subscriptions: []consumer.Subscription{s},
		Name:          f.name,
		DrainTimeout:  f.silence,
		ProbeTimeout:  f.probe,
		Heartbeat:     f.heartbeat,
		GracePeriod:   f.grace,
		Logger:        logger,
		Observers: []func(fsm.Event){func(e fsm.Event) {
			// Whoever waits for a place must not keep a consumer that has given up. ProcessRestarted tells of
			// the run before.
			if e.Kind == fsm.KindTransition && e.To == consumer.Disconnected && e.Trigger != consumer.ProcessRestarted {
				stop()
			}
		}},
	}
}
