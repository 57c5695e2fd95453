package publish

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/internal/inside"
	"github.com/everhop/everhop/consumer/internal/report"
	"github.com/everhop/everhop/consumer/internal/standstill"
	"github.com/everhop/everhop/fsm"
)

// Publisher publishes until it is told to stop, through whatever happens to its connection. Make it with New, and have it
// connect with Run; it runs once. All methods may be called from any goroutine, those that send also before Run.
type Publisher struct {
	config  Config
	plan    broker.Plan
	machine *fsm.Machine
	watch   *report.Observers
	ledger  *ledger
	current current

	shown   atomic.Pointer[facts]
	entered atomic.Pointer[entered]

	declarations declarations
	inside       inside.Marks
	reading      standstill.Reading // nil: of the machine's clocks

	inbox    chan func() error // the supervisor's
	started  atomic.Bool
	softOnce sync.Once
	hardOnce sync.Once
	soft     chan struct{} // closed: accept no more, wait for the confirms
	hard     chan struct{} // closed: do not wait for them any longer
	gone     chan struct{} // closed: nobody reads the inbox any more
	done     chan struct{} // closed: Run has returned
}

// New checks the configuration and joins all that is wrong with it. If the journal shows that its previous run did not end
// in Disconnected, that run is closed first, with ProcessRestarted.
func New(config Config) (*Publisher, error) {
	config = config.withDefaults()
	plan, err := config.plan()
	if err != nil {
		return nil, err
	}
	config.URLs = nil // the plan has the endpoints; these hold passwords
	machine, err := fsm.New(Lifecycle(), fsm.Options{Name: config.Name, Journal: config.Journal})
	if err != nil {
		return nil, err
	}
	p := &Publisher{
		config:  config,
		plan:    plan,
		machine: machine,
		ledger:  newLedger(config.Window, config.WindowBytes),
		current: newCurrent(),
		inbox:   make(chan func() error),
		soft:    make(chan struct{}),
		hard:    make(chan struct{}),
		gone:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	p.shown.Store(&facts{})
	p.entered.Store(&entered{since: time.Now()})
	log := report.NewLines(config.Logger, &p.inside)
	p.watch = report.Observe(machine, log, append(projections(config), config.Observers...))
	if machine.State() != Disconnected {
		if _, err := machine.Fire(ProcessRestarted, fsm.Evidence{}); err != nil {
			return nil, err
		}
	}
	if _, err := machine.Record(fsm.KindBoot, "", fsm.Evidence{Note: "everhop " + broker.Version()}); err != nil {
		return nil, err
	}
	return p, nil
}

// Run connects and publishes until ctx ends or Stop is called, and then stops softly: nothing more is accepted, and what
// was accepted is waited for within the grace period. It returns
//   - nil when everything that was accepted is settled,
//   - an error wrapping ErrStopped, with the number of messages that are not,
//   - an *Error if it gave up (see Config.MaxReviveAttempts and Config.HealWithin),
//   - an error wrapping fsm.ErrVetoed if the journal refused an event,
//   - ErrAlreadyRun if it was called before.
func (p *Publisher) Run(ctx context.Context) error {
	if !p.started.CompareAndSwap(false, true) {
		return ErrAlreadyRun
	}
	defer close(p.done)
	defer p.watch.Finish()
	defer p.machine.Close()
	defer p.inside.Enter()()
	p.watch.Start()
	defer context.AfterFunc(ctx, p.stopSoft)()
	return newSupervisor(p).run()
}

// Stop has Run stop softly, and waits until it has returned. When ctx ends first, nothing is waited for any more, and Stop
// returns ctx's error once Run has returned. Before Run it makes Run return at once. An observer may call it: then it only
// tells Run to stop.
func (p *Publisher) Stop(ctx context.Context) error {
	p.stopSoft()
	if !p.started.Load() {
		p.ledger.fail(ErrStopped)
		p.current.set(nil, ErrStopped)
		return nil
	}
	if p.inside.Has(ctx) {
		return nil
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	p.hardOnce.Do(func() { close(p.hard) })
	<-p.done
	return ctx.Err()
}

func (p *Publisher) stopSoft() {
	p.ledger.close(ErrStopped)
	p.softOnce.Do(func() { close(p.soft) })
}

// State is where the publisher is in its Lifecycle. It never blocks.
func (p *Publisher) State() fsm.State { return p.machine.State() }

// Stats never blocks for long.
func (p *Publisher) Stats() Stats { return p.ledger.stats() }

// Publish sends a message and waits until the broker has confirmed it: nil means that the broker has taken responsibility.
// Messages of one exchange and routing key are stored in the order in which they were given.
//
// Through outages, alarms and a full window it waits, as long as ctx permits. The error is
//   - one wrapping ErrNotSent: the broker does not have it, since ctx ended, or the publisher did (ErrStopped, *Error),
//   - one wrapping ErrNotKnown: the same, but it was sent before, and the broker may have it; it is not sent again,
//   - an *UnroutableError: no queue is bound for it,
//   - one wrapping broker.ErrRefused: a queue refused it (basic.nack), as a full one does with overflow reject-publish,
//   - one wrapping broker.ErrHeaderTooLarge: its headers do not fit into a frame,
//   - a *broker.Error: the broker ended a channel because of it, with a Code: 404 no such exchange, 403 no permission, 406
//     too large for the broker, or another property that it does not permit; or it ended connections twice, with a Code of
//     501 and more: a header that it cannot store, such as NaN,
//   - another one that names the field that AMQP cannot carry; nothing was sent then.
//
// What the broker says is about the last copy. If the message had been sent before, on a connection or channel that was
// lost, an earlier one may be stored.
//
// Body and Headers must not be changed any more, whatever the outcome.
func (p *Publisher) Publish(ctx context.Context, m *broker.Message) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	c, err := p.accept(m)
	if err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return p.ledger.leave(c, context.Cause(ctx), true)
	}
}

// Send is Publish for those who do not wait for each message: it returns when the message has its place in the window.
// From then on it is sent, and sent again after a loss, whatever becomes of ctx. Without one it returns an error as Publish
// does.
func (p *Publisher) Send(ctx context.Context, m *broker.Message) (*Confirmation, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	c, err := p.accept(m)
	if err != nil || c.room == nil {
		return c, err
	}
	select {
	case <-c.room:
	case <-c.done:
	case <-ctx.Done():
	}
	select {
	case <-c.room: // whatever else there is
		return c, nil
	default:
	}
	if err := p.ledger.leave(c, context.Cause(ctx), true); err != nil {
		return nil, err
	}
	return c, nil // it was confirmed at this moment
}

func (p *Publisher) accept(m *broker.Message) (*Confirmation, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	return p.ledger.accept(m)
}

// Flush waits until everything that was accepted before is settled, in whatever way: the error is ctx's, and does not tell
// whether the messages were confirmed. Their Confirmations do, and so does a [Batch].
func (p *Publisher) Flush(ctx context.Context) error {
	for _, c := range p.ledger.unsettled() {
		select {
		case <-c.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Ready waits until there is a connection. The error is ctx's, or tells that there will be none: ErrStopped, *Error.
func (p *Publisher) Ready(ctx context.Context) error {
	_, err := p.current.wait(ctx)
	return err
}

// current is the session that is in use, for those who need one.
type current struct {
	mu      sync.Mutex
	session *broker.Session
	blocked bool
	over    error
	changed chan struct{}
}

func newCurrent() current { return current{changed: make(chan struct{})} }

func (c *current) set(s *broker.Session, over error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.blocked, c.over = s, false, over
	close(c.changed)
	c.changed = make(chan struct{})
}

// block says whether the broker reads.
func (c *current) block(blocked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked = blocked
	close(c.changed)
	c.changed = make(chan struct{})
}

// gone is for who finds a session lost before others do.
func (c *current) gone(s *broker.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == s {
		c.session = nil
	}
}

// wait waits for a session.
func (c *current) wait(ctx context.Context) (*broker.Session, error) {
	return c.await(ctx, func() bool { return c.session != nil })
}

// waitUnblocked waits for one from which the broker reads.
func (c *current) waitUnblocked(ctx context.Context) (*broker.Session, error) {
	return c.await(ctx, func() bool { return c.session != nil && !c.blocked })
}

// await is given a condition that is looked at with mu held.
func (c *current) await(ctx context.Context, usable func() bool) (*broker.Session, error) {
	for {
		c.mu.Lock()
		session, over, changed, ok := c.session, c.over, c.changed, usable()
		c.mu.Unlock()
		switch {
		case over != nil:
			return nil, over
		case ok:
			return session, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
