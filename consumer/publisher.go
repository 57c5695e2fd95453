package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// Publisher publishes over a connection of its own, with the consumer's endpoints, credentials and settings. It
// connects when this is called the first time, and is stopped by Run, once all handlers have returned, or by a Stop
// before Run: what nobody waits for may not be sent then. The consumer itself publishes with it, too: what is parked,
// delayed or saved. So do not Stop it.
//
// A handler that publishes a message before it returns nil loses nothing: the delivery is acknowledged when the broker has
// the message, and comes again if not. To wait for many at once, publish in a [publish.Batch].
func (c *Consumer) Publisher() *publish.Publisher { return c.sending.begin() }

// PublisherStatus is that of the publisher, and whether it is used yet. It begins nothing.
func (c *Consumer) PublisherStatus() (status publish.Status, used bool) {
	return c.sending.publisher.Status(), c.sending.used.Load()
}

// newPublisher makes the publisher of a consumer with this configuration.
func newPublisher(c Config) (*publish.Publisher, error) {
	p, err := publish.New(publish.Config{
		URLs:           c.URLs,
		Name:           nameOfPublisher(c.Name),
		Credentials:    c.Credentials,
		TLS:            c.TLS,
		Dial:           c.Dial,
		DrainTimeout:   c.DrainTimeout,
		ProbeTimeout:   c.ProbeTimeout,
		Heartbeat:      c.Heartbeat,
		ConnectTimeout: c.ConnectTimeout,
		CallTimeout:    c.CallTimeout,
		ReviveBackoff:  publish.Backoff(c.ReviveBackoff),
		GiveUpOn:       []broker.Class{}, // the consumer lives, and needs it
		GracePeriod:    cutGrace,         // the handlers had theirs
		Logger:         c.Logger,
		Journal:        c.PublisherJournal,
		Observers:      c.PublisherObservers,
	})
	if err != nil {
		return nil, fmt.Errorf("consumer: PublisherJournal: %w", err)
	}
	return p, nil
}

func nameOfPublisher(name string) string {
	const enough = 200 // bytes of the name, so that with what is added it is one still
	return strings.ToValidUTF8(name[:min(len(name), enough)], "") + " (publishing)"
}

// sending is a publisher that connects when it is used.
type sending struct {
	publisher *publish.Publisher
	mu        sync.Mutex
	begun     bool
	used      atomic.Bool
	running   sync.WaitGroup
	refused   chan error // that its journal refused an event, by which it ended
}

func newSending(p *publish.Publisher) *sending {
	return &sending{publisher: p, refused: make(chan error, 1)}
}

func (s *sending) begin() *publish.Publisher {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.begun = true
		s.used.Store(true)
		s.running.Go(func() {
			// Of all other ends its callers are told.
			if err := s.publisher.Run(context.Background()); errors.Is(err, fsm.ErrVetoed) {
				s.refused <- fmt.Errorf("consumer: PublisherJournal: %w", err)
			}
		})
	}
	return s.publisher
}

// end stops it for good. What is not confirmed soon returns an error to its caller.
func (s *sending) end() {
	s.mu.Lock()
	s.begun = true
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), cutGrace)
	defer cancel()
	_ = s.publisher.Stop(ctx)
	s.running.Wait()
}

// refusal is that its journal refused an event, if nobody was told yet. It is called after end.
func (s *sending) refusal() error {
	select {
	case err := <-s.refused:
		return err
	default:
		return nil
	}
}
