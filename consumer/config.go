package consumer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/internal/revival"
	"github.com/everhop/everhop/fsm"
)

// Config describes a consumer. URLs and Subscriptions are needed; every other field has a default
// that is meant for production. New reads it once and never changes it; what it refers to (arguments,
// bindings) must not be changed until Run has returned.
type Config struct {
	// URLs of the broker's nodes, amqp:// or amqps:// (see broker.ParseEndpoints). After a loss the
	// next one in the list is tried first. They are yours, with their passwords: printing a Config shows
	// them, while nothing that is made of it does.
	URLs []string
	// Subscriptions share one connection, each on a channel of its own. At least one.
	Subscriptions []Subscription

	// Name is the connection's name at the broker and the machine's in the events: at most 255 bytes of
	// UTF-8, as all names. Defaults to the program's name.
	Name string
	// Credentials is asked before each dial. Defaults to those in the URL.
	Credentials broker.CredentialsFunc
	// TLS is asked before each dial of an amqps URL. Defaults to the files that the URL names, else to
	// the system's authorities.
	TLS broker.TLSFunc
	// Dial opens the transport; it must honour ctx, and the connection must support deadlines. It is given the
	// host as the URL has it. Defaults to a net.Dialer, which is given all addresses of the host, one after the other.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// DrainTimeout is how long nothing may come in before the broker is probed. Defaults to 2 s.
	DrainTimeout time.Duration
	// ProbeTimeout is how long nothing may come in after that before the peer counts as dead. A
	// broker that is busy for longer than this loses the connection; values below 1 s invite that.
	// Defaults to 2 s. This, DrainTimeout and ConnectTimeout must be between 1 ms and 1 h.
	ProbeTimeout time.Duration
	// Heartbeat is the AMQP heartbeat interval, the second line behind the probe. Whole seconds, at
	// least 1 s. Defaults to that of the URL, else to 10 s.
	Heartbeat time.Duration
	// ConnectTimeout is how long the first attempt may take to dial and open AMQP; later attempts get
	// more, up to 30 s, so that a broker that is merely slow is reached. A connection_timeout in a URL bounds what that
	// endpoint takes of it. Defaults to 5 s.
	ConnectTimeout time.Duration
	// ReviveBackoff spaces the attempts to revive.
	ReviveBackoff Backoff
	// MaxReviveAttempts is how many attempts of one revival may fail before Run gives up with
	// ErrRetriesExhausted; the first connect, before any revival, is not counted. Defaults to 0: no
	// limit.
	MaxReviveAttempts int
	// GiveUpOn are the classes of errors on which Run ends instead of trying again, unless other subscriptions can go
	// on (see FailFast) or it had worked before (see HealWithin). Defaults
	// to those that will be equally wrong in an hour: vhost, precondition, and auth unless Credentials
	// may know better ones next time. An empty, non-nil slice never gives up; adding broker.NotFound
	// makes a missing queue fatal instead of waited for.
	GiveUpOn []broker.Class
	// HealWithin is for how long an error that waiting does not heal as a rule (GiveUpOn) is waited for all the same
	// where it had worked before in this run: a password that is being changed, a queue that is declared otherwise.
	// It is not for classes in a GiveUpOn of your own. Defaults to 10 min; less than 0 is not at all.
	HealWithin time.Duration
	// FailFast ends Run when one subscription cannot be consumed, by an error of GiveUpOn or after MaxReviveAttempts. By
	// default the others go on, and it is tried again now and then on a connection of its own (NoteApart,
	// NoteGivenUp); Run ends when this is true of all of them.
	FailFast bool
	// CallTimeout is how long a queue may take to answer, such as to be declared or consumed from, on a connection that
	// is alive. Past it the subscription goes on apart, on a connection of its own (NoteApart), until its queue
	// answers. Defaults to 10 s.
	CallTimeout time.Duration
	// GracePeriod is how long handlers may go on after Run was told to stop; then their context is
	// cancelled. Defaults to 20 s, well within the 30 s that orchestrators allow.
	GracePeriod time.Duration

	// ConsumerTimeout is the broker's consumer_timeout: past it RabbitMQ closes the channel of a
	// delivery that was not acknowledged, or from 4.3 on cancels the consumer of a quorum queue, and no other
	// (https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout). x-consumer-timeout among the Arguments of
	// a subscription, or of its Declare, goes before it. A warning is logged when four fifths of it have passed
	// since a delivery came in, where the queue has a timeout: keep Prefetch times handling time by Concurrency
	// well below it. Defaults to RabbitMQ's 30 minutes.
	//
	// A message whose handler took longer counts as failed when it comes again (see Retry), and is published again to
	// the end of its queue, behind the others; a stream's is tried again in place. It is known by its body, MessageID
	// and CorrelationID. As long as that handler has not returned, it is given to no other one. The prefetch falls to
	// Concurrency for twice the timeout, unless there is an OrderingKey; that of a single active consumer, or an
	// AutoDelete queue, until it is consumed anew after a SetPrefetch.
	ConsumerTimeout time.Duration
	// MaxMessageSize is how many bytes the header and the body of a message may take together. The body of a
	// larger one is not kept. Defaults to 256 MiB.
	MaxMessageSize int64

	// OnStale is told of each delivery whose outcome could not be sent, because its channel was gone.
	// It is called on goroutines of the consumer's, perhaps several at once, and should not take long: whoever
	// had the outcome waits. A panic is logged. None comes after Run.
	OnStale func(Stale)
	// Logger gets one line per event, and one per delivery whose handler failed, from several
	// goroutines: its writer must allow that, as files do (see zerolog.SyncWriter). Nobody waits for it: of lines that
	// it does not take in time 1024 are kept, and others counted (left_out). Defaults to silence.
	Logger zerolog.Logger
	// Journal is where the events are committed; one in files is opened with journal.Open (package
	// fsm/journal) and closed after Run. An [fsm.Syncer] is synced when Consuming is lost, and in the
	// end. Defaults to an [fsm.Ring] of 1024 events.
	Journal fsm.Journal
	// Observers see every committed event, in order, each on a goroutine of its own: they can neither delay
	// the consumer nor break it. One that falls 1024 events behind is told of the gap. The Apply of an
	// [fsm.Projection] can be one, such as that of an [fsm.Summary]; with [fsm.Share] others can read it
	// meanwhile. If the journal's run before this one ended without Stop, the first event is
	// ProcessRestarted, which leads to Disconnected.
	Observers []func(fsm.Event)
	// PublisherJournal is where the events of Consumer.Publisher are committed, as those of the consumer are in Journal:
	// it must be another one, and is closed after Run. A publisher that is not used has one event for each run. If it
	// refuses one, Run ends as it does for Journal.
	// Defaults to an [fsm.Ring] of 1024 events.
	PublisherJournal fsm.Journal
	// PublisherObservers see the publisher's committed events, from its first use on, as Observers see the consumer's.
	PublisherObservers []func(fsm.Event)
}

// Subscription is a queue, its handler and settings.
type Subscription struct {
	// Queue to consume from. It may be empty if Declare is set: the broker names it then.
	Queue string
	// Handler is called for each delivery.
	Handler Handler
	// Concurrency is how many deliveries are handled at once, over all revivals. With 1 they are
	// handled in the queue's order. Defaults to 1.
	Concurrency int
	// Prefetch is how many deliveries may be unacknowledged at once, 1 to 65535. More hides latency;
	// less keeps slow handlers from hoarding messages, each of which must be acknowledged within the
	// broker's consumer_timeout (30 minutes by default). Defaults to 64, or Concurrency if that is more.
	//
	// A quorum queue counts all of it as come back when the connection is lost. So after losses in a row (each within
	// a minute) its consumer begins with Concurrency, and what is asked for doubles while it lives.
	Prefetch int
	// PrefetchBytes is how many bytes of deliveries may wait in memory for a handler: bodies, and about what
	// headers take. RabbitMQ bounds only their number, so as many are asked for as fit, by the largest recent
	// one: from Concurrency, where it begins, up to Prefetch. Defaults to 0: only their number is bounded.
	//
	// Not bounded is what handlers hold: Concurrency deliveries are asked for in any case. Nor is what RabbitMQ
	// had sent before messages became larger: up to Prefetch of them. Each change is a basic.cancel and a
	// basic.consume. A single active consumer may lose its role by that; an AutoDelete queue would be gone, and is
	// refused. So is a stream, which delivers in chunks of its own; one that was not said to be one is consumed
	// with the whole Prefetch. A Commit must not wait for more than Concurrency messages (see CommitLater).
	PrefetchBytes int64
	// OrderingKey, if set, keeps the order of the deliveries for which it returns the same: they are handled
	// one after another, others meanwhile. It is called once for each, by one goroutine at a time,
	// and should be quick; while one waits for its predecessor, it fills a place in the prefetch. What is put
	// back (Requeue) has others of its key wait, as long as it waits in memory itself. What is delayed or parked, or
	// goes back to the queue, is overtaken. The empty key is a key, too; it is that of what could not be read
	// (Delivery.Unreadable), for which it is not called.
	OrderingKey func(*Delivery) string
	// HandlerTimeout ends the context of a handler that takes longer. An error that it returns then is
	// a failure like any other (see Retry); one that ignores its context is not ended. Defaults to 0:
	// no limit.
	HandlerTimeout time.Duration

	// Retry is what happens when the handler fails.
	Retry Retry
	// RequeuePause is how long a message waits that is put back (Requeue, or Retry.Poison PutBack) until its handler is
	// called again. It waits in memory, and others are handled meanwhile: so a quorum queue does not count it as
	// delivered once more. When such messages fill the prefetch and a handler is free, the queue is consumed anew on
	// the same channel, so that up to 1024 of them (or what PrefetchBytes permits) keep none behind them waiting. With
	// a single active consumer, or an AutoDelete queue, they do. Defaults to 1 s.
	RequeuePause time.Duration
	// DeliveryLimit is how often a message of this queue may come back before RabbitMQ drops or dead-letters it, if it
	// is a quorum queue (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling): the policy's
	// delivery-limit, or the x-delivery-limit of a queue that is not declared here. A message that came back nearly
	// as often is published again to the end of the queue, where it counts from 0 (see NoteSaved), or treated as
	// Retry.Poison says if its handler has failed it before. The user must be allowed to write to
	// amq.default, the default exchange. Defaults to the x-delivery-limit of Declare, or else to 20, which is
	// RabbitMQ's own from 4.0 on, and before that to none; NoDeliveryLimit says that the queue has none. A queue of
	// another type ignores it.
	DeliveryLimit int
	// Breaker pauses the subscription after a run of failures.
	Breaker Breaker
	// Dedup acknowledges a redelivery of a message that was handled without calling the handler again.
	Dedup Dedup

	// AckEach acknowledges each delivery by a frame of its own as soon as it was handled. By default
	// acknowledgements wait for a few milliseconds and share frames, as long as the prefetch has room: much
	// faster, and after a lost connection a few deliveries more come again. Where the broker is milliseconds
	// away, and a small Prefetch limits the rate, AckEach may be a tenth faster, and a larger Prefetch more so.
	AckEach bool
	// Commit, if set, is called before acknowledgements are sent, for all that was handled up to
	// then: a handler may gather its effects, and Commit make them last, e.g. flush a buffer. nil speaks
	// for all of them: what a call could not make last it must keep for the next one (a database's
	// transaction that failed is gone: keep what it was made of). Never twice at once, but handlers may
	// be running. When it fails, nothing is acknowledged, and it is called again after RequeuePause and
	// when the consumer stops; an error is logged (the first time, the second, the fourth, and so on), unless it wraps
	// CommitLater. Its ctx is the handlers'.
	Commit func(ctx context.Context) error
	// OnSettled, if set, is told what was sent for deliveries, or that it could not be sent: for those that one frame
	// stands for together. It is called on goroutines of the consumer's, perhaps several at once, and should not take
	// long: whoever had the outcome waits. A panic is logged. None comes after Run. What goes back before a handler had
	// it, or with its channel, because that is lost or the consumer stops, is not told of.
	OnSettled func([]Settlement)

	// Declare creates the queue where it is missing; nil expects it to exist, and waits for it. One that exists is
	// used as it is; if it differs, an event says so (NoteQueueDiffers), or with Strict Run ends.
	Declare *broker.QueueOptions
	// Exchanges are declared before the queue where they are missing, Bindings after it.
	Exchanges []broker.Exchange
	Bindings  []broker.Binding
	// Exclusive asks to be the queue's only consumer.
	Exclusive bool
	// ConsumerTag names the consumer at the broker; after Resume and SetPrefetch it ends in /2, /3 and
	// so on. Defaults to Name and the subscription's number.
	ConsumerTag string
	// Stream says that the queue is a stream, and where to begin. A stream that was not said to be one (nor
	// declared as one) is recognised by its deliveries. Defaults to nil.
	Stream *Stream
	// Arguments of basic.consume, e.g. x-priority.
	Arguments map[string]any
}

const (
	// DefaultPrefetch is the default of Subscription.Prefetch, unless Concurrency is more.
	DefaultPrefetch = 64
	// DefaultGracePeriod is the default of Config.GracePeriod.
	DefaultGracePeriod = 20 * time.Second
)

// The other defaults stand in the documentation of their fields.
const (
	defaultConsumerTimeout = 30 * time.Minute // RabbitMQ's own
	defaultHealWithin      = 10 * time.Minute
	defaultReviveInitial   = 100 * time.Millisecond
	defaultRequeuePause    = time.Second
	defaultBreakerPause    = 30 * time.Second
	defaultRetryInitial    = 200 * time.Millisecond
	defaultRetryMax        = 5 * time.Second
	defaultInPlace         = 5 * time.Second
)

const (
	maxPrefetch    = 65535 // basic.qos has 16 bits for it
	maxConcurrency = maxPrefetch
)

// withDefaults fills a copy.
func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = strings.ToValidUTF8(filepath.Base(os.Args[0]), "?")
	}
	c.DrainTimeout = or(c.DrainTimeout, broker.DefaultDrainTimeout)
	c.ProbeTimeout = or(c.ProbeTimeout, broker.DefaultProbeTimeout)
	c.ConnectTimeout = or(c.ConnectTimeout, broker.DefaultConnectTimeout)
	c.GracePeriod = or(c.GracePeriod, DefaultGracePeriod)
	c.ConsumerTimeout = or(c.ConsumerTimeout, defaultConsumerTimeout)
	c.HealWithin = or(c.HealWithin, defaultHealWithin)
	c.ReviveBackoff.Initial = or(c.ReviveBackoff.Initial, defaultReviveInitial)
	c.ReviveBackoff.Max = or(c.ReviveBackoff.Max, max(DefaultBackoffMax, c.ReviveBackoff.Initial))
	subscriptions := make([]Subscription, len(c.Subscriptions))
	for i, s := range c.Subscriptions {
		s.Concurrency = or(s.Concurrency, 1)
		s.Prefetch = or(s.Prefetch, max(DefaultPrefetch, min(s.Concurrency, maxPrefetch)))
		s.RequeuePause = or(s.RequeuePause, defaultRequeuePause)
		s.Breaker.Pause = or(s.Breaker.Pause, defaultBreakerPause)
		s.Retry = s.Retry.withDefaults(s)
		if s.Dedup.ID == nil {
			s.Dedup.ID = func(d *Delivery) string { return d.MessageID }
		}
		subscriptions[i] = s
	}
	c.Subscriptions = subscriptions
	return c
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// validate joins all problems; each names the field.
func (c Config) validate() error {
	var problems []error
	report := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("consumer: "+format, args...))
	}
	if len(c.URLs) == 0 {
		report("URLs: at least one is needed, e.g. amqp://guest:guest@localhost:5672/")
	}
	if len(c.Subscriptions) == 0 {
		report("Subscriptions: at least one is needed")
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"GracePeriod", c.GracePeriod}, {"ConsumerTimeout", c.ConsumerTimeout},
	} {
		if d.value < 0 {
			report("%s: %v is negative", d.field, d.value)
		}
	}
	for _, problem := range revival.Backoff(c.ReviveBackoff).Problems() {
		report("ReviveBackoff.%s", problem)
	}
	if c.MaxReviveAttempts < 0 {
		report("MaxReviveAttempts: %d is negative", c.MaxReviveAttempts)
	}
	if c.PublisherJournal != nil && reflect.ValueOf(c.PublisherJournal).Comparable() && c.PublisherJournal == c.Journal {
		report("PublisherJournal: it is Journal, and each has its own")
	}
	for i, s := range c.Subscriptions {
		for _, problem := range s.problems() {
			report("Subscriptions[%d].%s", i, problem)
		}
	}
	return errors.Join(problems...)
}

func (s Subscription) problems() (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if s.Handler == nil {
		report("Handler: missing")
	}
	if s.Concurrency < 1 || s.Concurrency > maxConcurrency {
		report("Concurrency: %d is not between 1 and %d", s.Concurrency, maxConcurrency)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"RequeuePause", s.RequeuePause}, {"HandlerTimeout", s.HandlerTimeout},
		{"Breaker.Pause", s.Breaker.Pause}, {"Retry.MaxInPlace", s.Retry.MaxInPlace},
	} {
		if d.value < 0 {
			report("%s: %v is negative", d.field, d.value)
		}
	}
	if problem := s.prefetchBytesProblem(); problem != "" {
		report("PrefetchBytes: %s", problem)
	}
	if problem := s.breakerProblem(s.Concurrency); problem != "" {
		report("%s", problem)
	}
	if s.DeliveryLimit < NoDeliveryLimit {
		report("DeliveryLimit: %d is negative", s.DeliveryLimit)
	}
	if s.Dedup.Window < 0 {
		report("Dedup.Window: %d is negative", s.Dedup.Window)
	}
	if s.Stream != nil {
		if problem := s.Stream.problem(); problem != "" {
			report("Stream.Offset: %s", problem)
		}
	}
	if _, there := s.Arguments[streamOffset]; there {
		report("Arguments: %s belongs into Stream.Offset", streamOffset)
	}
	if s.Retry.Poison == Park && s.Retry.ParkingQueue == s.Queue && s.Queue != "" && !IsParkingQueue(s.Queue) {
		report("Retry.ParkingQueue: %q is the Queue itself", s.Queue)
	}
	for _, problem := range s.Retry.problems(s.Queue) {
		report("Retry.%s", problem)
	}
	return problems
}

// plan is the broker's part of the configuration.
func (c Config) plan() (broker.Plan, error) {
	endpoints, err := broker.ParseEndpoints(c.URLs...)
	if err != nil {
		return broker.Plan{}, err
	}
	plan := broker.Plan{
		Endpoints:      endpoints,
		Credentials:    c.Credentials,
		TLS:            c.TLS,
		Dial:           c.Dial,
		Name:           c.Name,
		Heartbeat:      c.Heartbeat,
		DrainTimeout:   c.DrainTimeout,
		ProbeTimeout:   c.ProbeTimeout,
		ConnectTimeout: c.ConnectTimeout,
		CallTimeout:    c.CallTimeout,
		MaxMessageSize: c.MaxMessageSize,
	}
	for _, s := range c.Subscriptions {
		plan.Subscriptions = append(plan.Subscriptions, broker.Subscription{
			Queue:       s.Queue,
			Declare:     s.Declare,
			Exchanges:   s.Exchanges,
			Bindings:    s.Bindings,
			Prefetch:    s.Prefetch,
			Exclusive:   s.Exclusive,
			ConsumerTag: s.ConsumerTag,
			Arguments:   s.consumeArguments(),
		})
	}
	return plan, plan.Validate()
}

// isSingleActive tells whether the queue is declared to have a single active consumer.
func (s Subscription) isSingleActive() bool {
	return s.Declare != nil && s.Declare.Arguments["x-single-active-consumer"] == true
}
