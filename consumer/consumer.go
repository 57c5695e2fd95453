package consumer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/internal/inside"
	"github.com/everhop/everhop/consumer/internal/report"
	"github.com/everhop/everhop/fsm"
)

// Consumer consumes from the queues of its Config until it is told to stop, through whatever happens
// to the connection. Make it with New; it runs once. All methods may be called from any goroutine.
type Consumer struct {
	config  Config
	plan    broker.Plan
	machine *fsm.Machine
	watch   *report.Observers
	counts  []counts // by subscription
	sending *sending
	board   *board

	inside inside.Marks

	inbox    chan observation // the supervisor's
	started  atomic.Bool
	softOnce sync.Once
	hardOnce sync.Once
	soft     chan struct{} // closed: take no more deliveries, let handlers finish
	gone     chan struct{} // closed: nobody reads the inbox any more
	hard     chan struct{} // closed: do not wait for them any longer
	done     chan struct{} // closed: Run has returned
}

// New checks the configuration and joins all that is wrong with it. If the journal shows that its
// previous run did not end in Disconnected, that run is closed first, with ProcessRestarted.
func New(config Config) (*Consumer, error) {
	config = config.withDefaults()
	plan, err := config.plan()
	if err := errors.Join(config.validate(), err); err != nil {
		return nil, err
	}
	publisher, err := newPublisher(config)
	if err != nil {
		return nil, err
	}
	config.URLs = nil // the plan has the endpoints; these hold passwords, and whoever prints a Consumer would see them
	if config.GiveUpOn != nil {
		config.GiveUpOn = slices.Clone(config.GiveUpOn)
	}
	machine, err := fsm.New(Lifecycle(), fsm.Options{Name: config.Name, Journal: config.Journal})
	if err != nil {
		return nil, err
	}
	c := &Consumer{
		config:  config,
		plan:    plan,
		machine: machine,
		counts:  make([]counts, len(config.Subscriptions)),
		sending: newSending(publisher),
		inbox:   make(chan observation),
		soft:    make(chan struct{}),
		gone:    make(chan struct{}),
		hard:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	c.board = newBoard(c.config, c.counts)
	log := report.NewLines(config.Logger, &c.inside)
	c.watch = report.Observe(machine, log, append(projections(config), config.Observers...))
	c.config.Logger = log.Logger()
	if machine.State() != Disconnected {
		if _, err := machine.Fire(ProcessRestarted, fsm.Evidence{}); err != nil {
			return nil, err
		}
	}
	if _, err := machine.Record(fsm.KindBoot, "", fsm.Evidence{Note: "everhop " + broker.Version()}); err != nil {
		return nil, err
	}
	return c, nil
}

// Run consumes until ctx ends or Stop is called, and then stops softly: no more deliveries are taken,
// handlers may finish within the grace period, the connection is closed. It returns
//   - nil when every handler has returned, if need be because its context was cancelled; what it did
//     not acknowledge is delivered again,
//   - ErrUnfinished if handlers did not return even then,
//   - an *Error if it gave up (see Config.GiveUpOn and Config.MaxReviveAttempts),
//   - an error wrapping fsm.ErrVetoed if the journal refused an event, or the publisher's did,
//   - ErrAlreadyRun if it was called before.
//
// A nil error after Stop before Run means that nothing was consumed.
func (c *Consumer) Run(ctx context.Context) (result error) {
	if !c.started.CompareAndSwap(false, true) {
		return ErrAlreadyRun
	}
	defer close(c.done)
	c.board.begin()
	defer func() { c.board.end(result) }()
	defer c.watch.Finish()
	defer c.machine.Close()
	defer func() {
		c.sending.end()
		if err := c.sending.refusal(); err != nil {
			result = errors.Join(result, err)
		}
	}()
	defer context.AfterFunc(ctx, c.stopSoft)()
	if ctx.Err() != nil {
		c.stopSoft()
	}
	select {
	case <-c.soft:
		return nil
	default:
	}
	defer c.inside.Enter()()
	c.watch.Start()
	return newSupervisor(c.inside.Context(context.WithoutCancel(ctx)), c).run()
}

// Stop makes Run stop softly and waits until it has returned. When ctx ends first, handlers are cancelled,
// the connection is cut, and Stop returns ctx's error once Run has returned. Before Run it makes
// Run return at once; after it, it does nothing.
//
// A handler may call it, and any other function that Run waits for (Commit, OnStale, OnSettled, observers): then it
// only tells Run to stop and returns nil at once, since Run cannot return before the function that called. A
// goroutine that such a function begins, and waits for, must give it the function's context.
func (c *Consumer) Stop(ctx context.Context) error {
	c.stopSoft()
	if !c.started.Load() {
		c.sending.end()
		return c.sending.refusal()
	}
	if c.inside.Has(ctx) {
		return nil
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
	}
	c.hardOnce.Do(func() { close(c.hard) })
	<-c.done
	return ctx.Err()
}

func (c *Consumer) stopSoft() {
	c.softOnce.Do(func() {
		c.board.stop() // before the first delivery is refused
		close(c.soft)
	})
}

// State is where the consumer is in its Lifecycle. It never blocks.
func (c *Consumer) State() fsm.State { return c.machine.State() }

// Stats are those of all subscriptions since New; [Consumer.Subscription] has those of one queue.
func (c *Consumer) Stats() Stats { return sumOf(c.counts) }
