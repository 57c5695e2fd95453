package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/fsm"
)

// projections are the observers that every consumer has.
func projections(c Config) []func(fsm.Event) {
	list := []func(fsm.Event){(&logLines{logger: c.Logger}).Apply}
	if files, ok := c.Journal.(fsm.Syncer); ok {
		list = append(list, syncJournal(files.Sync, c.Logger))
	}
	return list
}

// syncJournal has a journal in files outlast a power failure, whatever its own policy is, when something
// happened that somebody will ask about: consuming ended, or the consumer did. It does so beside the
// consumer, which the disk must not keep from reviving.
func syncJournal(sync func() error, logger zerolog.Logger) func(fsm.Event) {
	return func(e fsm.Event) {
		if e.From == e.To || e.To != Reviving && e.To != Disconnected {
			return
		}
		if err := sync(); err != nil {
			logger.Error().Err(err).Uint64(fsm.FieldSeq, e.Seq).Msg("the journal could not be synced")
		}
	}
}

// observers runs each observer on a goroutine of its own, fed from the machine's events.
type observers struct {
	log    *lines
	logger zerolog.Logger
	list   []func(fsm.Event)
	feeds  []*fsm.Feed
	group  sync.WaitGroup
}

// observe attaches the observers, so that they miss nothing from here on.
func observe(m *fsm.Machine, log *lines, list []func(fsm.Event)) *observers {
	o := &observers{log: log, logger: log.logger(), list: list}
	for range list {
		o.feeds = append(o.feeds, m.Feed(0))
	}
	return o
}

func (o *observers) start(within *inside) {
	for i, see := range o.list {
		o.group.Go(func() {
			defer within.enter()()
			for event := range o.feeds[i].All(context.Background()) {
				o.show(see, event)
			}
		})
	}
}

// show keeps a panicking observer from taking the process along.
func (o *observers) show(see func(fsm.Event), event fsm.Event) {
	defer func() {
		if r := recover(); r != nil {
			o.logger.Error().Uint64(fsm.FieldSeq, event.Seq).Msgf("an observer panicked: %v", r)
		}
	}()
	see(event)
}

// finish waits until the observers have seen the last event, and the log lines are written, but not for ever: one that blocks must
// not keep Run from returning.
func (o *observers) finish() {
	done := make(chan struct{})
	go func() {
		o.group.Wait()
		o.log.wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}
