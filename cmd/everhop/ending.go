package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer"
)

// ending says when consume stops by itself, besides --count.
type ending struct {
	empty bool
	idle  time.Duration // 0: never
}

func (f *ending) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.empty, "until-empty", false, "stop when the queue is empty, and all that came is handled")
	flags.Var(period(&f.idle, longestPause), "idle-timeout", "stop when it consumes, and nothing has come for so long (default never)")
	complete(cmd, "idle-timeout")
}

// byItself tells whether it stops so.
func (f *ending) byItself() bool { return f.empty || f.idle > 0 }

// check returns what is wrong with the flags together.
func (f *ending) check(from *source) error {
	switch {
	case f.empty && from.isStream():
		return errors.New("--until-empty: a stream keeps its messages, and is never empty; use --idle-timeout")
	case f.empty && from.isTemporary():
		return errors.New("--until-empty: a temporary queue is empty from the beginning; use --idle-timeout")
	}
	return nil
}

// looks is how often to look whether it is time to stop, and asks how often to ask for the depth of a queue that is not
// empty.
const (
	looks = 100 * time.Millisecond
	asks  = time.Second
)

// depths tells how many messages are left in the queues.
type depths func(ctx context.Context) (int, error)

// watch looks at a consumer until ctx ends, or it is time to stop it. It returns why it cannot go on looking.
func (f *ending) watch(ctx context.Context, look func() consumer.Status, left depths, heartbeat time.Duration, logger zerolog.Logger, stop func()) error {
	if !f.byItself() {
		return nil
	}
	every := looks
	if f.idle > 0 {
		every = min(every, f.idle)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var before calm
	var asked time.Time
	empty, warned := false, false // it was empty when it was asked last
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		status := look()
		now := calmOf(status)
		if now.generation != before.generation || now.done != before.done || now.since.IsZero() || before.since.IsZero() {
			before, empty = now, false
			continue
		}
		quiet := time.Since(before.since)
		if f.idle > 0 && quiet >= f.idle {
			logger.Info().Msgf("nothing has come for %s: stopping", short(f.idle))
			stop()
			return nil
		}
		pause := asks
		if empty {
			pause = looks
		}
		if !f.empty || time.Since(asked) < pause {
			continue
		}
		for s := range status.Subscriptions() {
			if s.Type == "stream" {
				stop()
				return fmt.Errorf("--until-empty: the queue %s is a stream, which keeps its messages; use --idle-timeout", s.Queue)
			}
		}
		// After a lost connection, what it had comes back when the broker has noticed: at last by its heartbeats.
		if now.generation > 1 && quiet < 2*heartbeat {
			continue
		}
		n, err := left(ctx)
		asked = time.Now()
		if err != nil && ctx.Err() == nil && !warned {
			warned = true
			logger.Warn().Err(err).Msg("it cannot be asked whether the queue is empty; trying again")
		}
		isEmpty := err == nil && n == 0
		if isEmpty && empty { // once is not enough: what the broker had just sent was in no queue, and did not come yet
			logger.Info().Msg("the queue is empty: stopping")
			stop()
			return nil
		}
		empty = isEmpty
	}
}

// calm is since when a consumer has nothing to do.
type calm struct {
	since      time.Time // zero if it has something to do, or does not consume
	done       consumer.Stats
	generation uint64 // the newest of its connections
}

func calmOf(s consumer.Status) calm {
	c := calm{since: s.Time}
	if !s.Ready() {
		c.since = time.Time{}
	}
	for sub := range s.Subscriptions() {
		if sub.InFlight+sub.Waiting+sub.Aside > 0 {
			c.since = time.Time{}
		}
		c.done.Add(sub.Stats)
		c.generation = max(c.generation, sub.Generation)
	}
	return c
}

// asker asks for the depth of queues over a connection of its own, which it opens when it is needed.
type asker struct {
	plan    broker.Plan
	queues  []string
	session *broker.Session
}

func (a *asker) left(ctx context.Context) (sum int, err error) {
	if a.session == nil || a.session.Lost() || a.session.Abandoned() > 0 {
		a.close()
		if a.session, err = broker.Open(ctx, a.plan, 1, 0); err != nil {
			a.session = nil
			return 0, err
		}
	}
	for _, queue := range a.queues {
		n, err := a.session.QueueLength(ctx, queue)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (a *asker) close() {
	if a.session != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = a.session.Close(ctx)
	}
}

// watchEnding watches whether it is time to stop c. What it returns ends that, and returns its error.
func (f *consumption) watchEnding(ctx context.Context, c *consumer.Consumer, endpoints []broker.Endpoint, config consumer.Config, logger zerolog.Logger, stop func()) (end func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ask := &asker{queues: f.source.queues, plan: broker.Plan{
		Endpoints: endpoints, Credentials: config.Credentials, TLS: config.TLS, Dial: config.Dial, Name: f.name + ", depth",
		Heartbeat: f.heartbeat, DrainTimeout: f.silence, ProbeTimeout: f.probe,
	}}
	ended := make(chan error, 1)
	go func() {
		err := f.ending.watch(ctx, c.Status, ask.left, cmp.Or(f.heartbeat, broker.DefaultHeartbeat), logger, stop)
		ask.close()
		ended <- err
	}()
	return func() error {
		cancel()
		return <-ended
	}
}
