package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
)

// restTime is how long the messages behind one that has failed are waited for, so that it can be told which are confirmed.
const restTime = 3 * time.Second

// publishing is a publisher at work:
//
//	soft ends (a signal) ──► intake ──► Run waits for confirms, for the grace period
//	a message failed ──────► intake ──► Run waits for confirms, for restTime
//	hard ends ─────────────► hurried ──► Run returns at once
type publishing struct {
	*publish.Publisher
	intake    context.Context // ends when nothing more is to be read
	end       context.CancelCauseFunc
	hurried   context.Context
	hurry     context.CancelCauseFunc
	connected chan struct{} // closed when it is, for the first time
	ended     chan error    // what Run returns
}

// begin starts a publisher, of which publish is to be called.
func begin(soft, hard context.Context, config publish.Config) (*publishing, error) {
	p := &publishing{connected: make(chan struct{}), ended: make(chan error, 1)}
	config.Observers = []func(fsm.Event){p.sawConnected()}
	var err error
	if p.Publisher, err = publish.New(config); err != nil {
		return nil, err
	}
	p.intake, p.end = context.WithCancelCause(soft)
	p.hurried, p.hurry = context.WithCancelCause(hard)
	context.AfterFunc(p.hurried, func() { _ = p.Stop(p.hurried) })
	go func() {
		err := p.Run(p.intake)
		p.end(err)
		p.ended <- err
	}()
	return p, nil
}

func (f *publication) config(urls []string, logger zerolog.Logger) publish.Config {
	config := publish.Config{
		URLs:              urls,
		Credentials:       f.access.credentials(urls),
		TLS:               f.access.secured(),
		Name:              f.name,
		MaxReviveAttempts: f.attempts,
		GracePeriod:       f.grace,
		Logger:            logger,
	}
	if f.every > 0 { // what has piled up when the connection is back goes out at once: the messages of a second
		config.Window = min(publish.DefaultWindow, paceAhead(f.every))
	}
	return config
}

// sawConnected has the input be read once there is a broker: what is read from a pipe is gone.
func (p *publishing) sawConnected() func(fsm.Event) {
	var once sync.Once
	return func(e fsm.Event) {
		if e.To == publish.Publishing {
			once.Do(func() { close(p.connected) })
		}
	}
}

// publish publishes the input, and stops.
func (p *publishing) publish(in *input, pace *pace) (tally, error) {
	select {
	case <-p.connected:
	case <-p.intake.Done():
	}
	failed := func() {
		p.end(nil)
		time.AfterFunc(restTime, func() { p.hurry(nil) })
	}
	send := func(ctx context.Context, m *broker.Message) (confirmation, error) { return p.Send(ctx, m) }
	t, err := publishAll(p.intake, send, in, pace, failed)
	p.end(nil)
	ended := <-p.ended
	p.hurry(nil)
	var gaveUp *publish.Error
	switch {
	case err == nil && errors.Is(ended, fsm.ErrVetoed):
		err = fmt.Errorf("%w, but %w", errAllConfirmed, ended)
	case !errors.Is(err, errStopped):
	case errors.As(ended, &gaveUp):
		err = withHint(ended, "", "")
	case errors.Is(ended, fsm.ErrVetoed): // the messages that failed by that have ended the intake before
		err = ended
	default:
		err = context.Cause(p.intake)
	}
	return t, err
}

// errAllConfirmed begins an error that is not about messages.
var errAllConfirmed = errors.New("all of the input is confirmed")

// stoppedBy is how far it was when a signal came.
func (p *publishing) stoppedBy(signal error, t tally) error {
	where := "the end of the input"
	if t.whole {
		where = "all was confirmed"
	}
	err := fmt.Errorf("stopped before %s: %w", where, signal)
	if since := p.Stats().BlockedSince; !since.IsZero() {
		err = fmt.Errorf("%w; the broker takes no messages since %s", err, since.Format(time.TimeOnly))
	}
	return err
}

// publishInput publishes what the input has; the error tells how far it came.
func publishInput(soft, hard context.Context, config publish.Config, in *input, pace *pace, screen *progress) (confirmed int, err error) {
	p, err := begin(soft, hard, config)
	if err != nil {
		return 0, err
	}
	hide := screen.show(p.State, p.Stats, soft.Done())
	t, err := p.publish(in, pace)
	hide()
	switch {
	case err == nil, errors.Is(err, errAllConfirmed):
		return t.confirmed, err
	case soft.Err() != nil && errors.Is(err, context.Cause(soft)):
		err = p.stoppedBy(err, t)
	}
	return t.confirmed, t.told(err, in)
}
