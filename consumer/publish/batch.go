package publish

import (
	"context"
	"slices"
	"sync"

	"github.com/everhop/everhop/broker"
)

// Batch is messages whose confirms are waited for together. It is made for handlers that publish on, and consumer's
// Subscription.Commit: what the handlers have sent is confirmed before what they were given is acknowledged.
//
//	var batch publish.Batch
//	Handler: func(ctx context.Context, d *consumer.Delivery) error {
//		return batch.Send(ctx, c.Publisher(), &broker.Message{RoutingKey: "invoices", Body: invoice(d)})
//	},
//	Commit: batch.Commit,
//
// The zero value is ready to use. All methods may be called from any goroutine.
type Batch struct {
	mu   sync.Mutex
	sent []*Confirmation // and not known to be confirmed
}

// Send sends a message, as [Publisher.Send] does, and keeps it until Commit knows that it is confirmed. With an error it
// is not part of the batch.
func (b *Batch) Send(ctx context.Context, p *Publisher, m *broker.Message) error {
	c, err := p.Send(ctx, m)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, c)
	return nil
}

// Commit returns nil when the broker has confirmed all that was sent before it was called. Else it returns the first
// error, as [Publisher.Publish] does, or ctx's.
//
// What was not confirmed stays in the batch: the next Commit returns nil only when the broker has that, too. So what was
// unroutable or refused is sent again, behind what was sent meanwhile. As long as it is refused, nothing is
// committed, and what is delivered again meanwhile is added: where that may go on for long, as with messages that may be too
// large, have the handler Publish, and its delivery is treated as Retry says.
func (b *Batch) Commit(ctx context.Context) error {
	b.mu.Lock()
	sent := slices.Clone(b.sent)
	b.mu.Unlock()
	var first error
	for _, c := range sent {
		if err := c.Wait(ctx); err != nil && first == nil {
			first = err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.sent[:0]
	for _, c := range b.sent {
		if c.isSettled() { // looked at once: it may be confirmed at any moment
			if c.err == nil {
				continue
			}
			if again, err := c.ledger.accept(&c.message); err == nil { // else the publisher has stopped
				c = again
			}
		}
		kept = append(kept, c)
	}
	clear(b.sent[len(kept):])
	b.sent = kept
	return first
}
