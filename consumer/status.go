package consumer

import (
	"iter"
	"time"

	"github.com/everhop/everhop/consumer/internal/measure"
	"github.com/everhop/everhop/fsm"
)

// Status is what a consumer does at one moment: the one source of what health, metrics, the page and the command line
// show. It is a value, and nobody's to change but its owner's.
type Status struct {
	Name string `json:"name"`
	// Time is when it was looked at.
	Time time.Time `json:"time"`
	// State is where the consumer is in its Lifecycle, and Since when it came there. Idle checks (HeartbeatCheck) are
	// part of Consuming in Since.
	State fsm.State `json:"state"`
	Since time.Time `json:"since"`
	// NotReady is why not everything is consumed; it is ready if there is none. Each code is there once.
	NotReady []Reason `json:"not_ready,omitempty"`
	// NotAlive is why it should be restarted; it is alive if there is none. A consumer that has stopped as it was told is
	// alive, and not ready.
	NotAlive []Reason `json:"not_alive,omitempty"`
	// Connections are those that it has, or is opening: that of the lifecycle first, then those of what is apart.
	Connections []ConnectionStatus `json:"connections"`
	// Stalls are the times in which the process stood still.
	Stalls Stalls `json:"stalls,omitzero"`

	subscriptions []*subscriptionStatus
}

// Ready tells whether everything is consumed.
func (s Status) Ready() bool { return len(s.NotReady) == 0 }

// Alive tells whether it does what it can. It is alive through an outage, however long.
func (s Status) Alive() bool { return len(s.NotAlive) == 0 }

// Subscriptions yields the subscriptions in the order of the configuration, each as it is when it is asked for.
func (s Status) Subscriptions() iter.Seq[SubscriptionStatus] {
	return func(yield func(SubscriptionStatus) bool) {
		for _, sub := range s.subscriptions {
			if !yield(sub.now()) {
				return
			}
		}
	}
}

// Stalls tell of [NoteStalled]: the process was stopped, the machine suspended, or too busy.
type Stalls struct {
	Count int `json:"count"`
	// Last is when the last one was over, and Took how long it was.
	Last time.Time     `json:"last"`
	Took time.Duration `json:"took_ns"`
}

// Reason is why something is not as it should be.
type Reason struct {
	// Code is for programs: one of the Reason constants.
	Code string `json:"code"`
	// Text is for people: what is the matter, and what it is waiting for.
	Text string `json:"text"`
	// Queues is how many subscriptions are concerned, if it is not about all of them, and Queue is the first one's, as
	// Text and Since.
	Queues int    `json:"queues,omitempty"`
	Queue  string `json:"queue,omitempty"`
	// Since is zero if it is not known.
	Since time.Time `json:"since,omitzero"`
}

// The codes of reasons.
const (
	// Why it is not ready. All but the last four are about the consumer as a whole.
	ReasonNotStarted = "not_started" // Run was not called
	ReasonConnecting = "connecting"
	ReasonReviving   = "reviving"
	ReasonStopping   = "stopping"
	ReasonStopped    = "stopped"
	ReasonPaused     = "paused" // by Handle.Pause
	ReasonBreaker    = "breaker"
	ReasonApart      = "apart" // on a connection of its own, and not consuming there
	ReasonGivenUp    = "given_up"
	// Why it is not alive.
	ReasonStuck    = "stuck"     // the supervisor has not turned for StuckAfter
	ReasonStopHang = "stop_hang" // the stop takes 15 s longer than GracePeriod
	ReasonFailed   = "failed"    // Run has returned an error
)

// StuckAfter is for how long the supervisor may do nothing at all until the consumer is not alive. It looks around at
// least every five seconds; only a journal that hangs, or a fault of ours, keeps it from that.
const StuckAfter = 30 * time.Second

// ConnectionStatus is one of a consumer's connections.
type ConnectionStatus struct {
	// Home tells that it is the one that the lifecycle is about. What is on another one is apart.
	Home bool `json:"home"`
	// Endpoint is host:port; empty while there is no connection. Generation counts the connections of a run.
	Endpoint   string `json:"endpoint,omitempty"`
	Generation uint64 `json:"generation"`
	// Open tells that there is a connection, and Since when that came to be so, or ceased to be.
	Open  bool      `json:"open"`
	Since time.Time `json:"since,omitzero"`
	// BlockedSince is when the broker stopped reading from it (connection.blocked); zero if it reads. BlockedReason are
	// the broker's words.
	BlockedSince  time.Time `json:"blocked_since,omitzero"`
	BlockedReason string    `json:"blocked_reason,omitempty"`
	// Silence is for how long nothing has come in; 0 if there is no connection.
	Silence time.Duration `json:"silence_ns"`
	// Attempt counts the attempts since it was lost, and NextAttempt is when the next one begins; zero while one is
	// under way. Error is how the last one failed, or why it was lost; it is empty once everything is consumed.
	Attempt     int       `json:"attempt,omitempty"`
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	Error       string    `json:"error,omitempty"`
	Class       string    `json:"class,omitempty"`
	// Subscriptions is how many are consumed over it, or are to be.
	Subscriptions int `json:"subscriptions"`
}

// SubscriptionStatus is one subscription.
type SubscriptionStatus struct {
	// Queue is the one of the configuration; Named is what the broker called it, if that was empty.
	Queue string `json:"queue"`
	Named string `json:"named,omitempty"`
	// Type is classic, quorum or stream, or empty if it is not known: nobody can ask RabbitMQ over AMQP 0-9-1.
	Type string `json:"type,omitempty"`
	// Doing says what it does, in one word, and Since when that began.
	Doing Doing     `json:"doing"`
	Since time.Time `json:"since,omitzero"`
	// Why says why it does not consume: the error, who paused it, until when the breaker is open. Apart says why it is on
	// a connection of its own, if it is; Class is that of the error.
	Why   string `json:"why,omitempty"`
	Apart string `json:"apart,omitempty"`
	Class string `json:"class,omitempty"`
	// Until is when the breaker's pause ends; zero if it is closed.
	Until time.Time `json:"until,omitzero"`
	// Generation is that of its connection, see ConnectionStatus.
	Generation uint64 `json:"generation"`
	// Prefetch is what is asked for now: 0 while it does not consume, and while what has come takes all of PrefetchBytes.
	// MaxPrefetch is what may be asked for.
	Prefetch    int `json:"prefetch"`
	MaxPrefetch int `json:"max_prefetch"`
	Concurrency int `json:"concurrency"`

	// InFlight is how many deliveries are with a handler; Waiting how many wait in memory for one; Aside how many of what
	// is unacknowledged waits for something else: to be handled again, behind such a one of its key, or to be published
	// elsewhere. What is done with, and waits for its acknowledgement to be sent, is none of these.
	InFlight int `json:"in_flight"`
	Waiting  int `json:"waiting"`
	Aside    int `json:"aside"`
	// OldestInFlight is when the handler that has been at work the longest began; zero if none is.
	OldestInFlight time.Time `json:"oldest_in_flight,omitzero"`
	// LastDelivery is when a handler was last given one, LastSettled when one was last done with: its handler had
	// returned; zero if never.
	LastDelivery time.Time `json:"last_delivery,omitzero"`
	LastSettled  time.Time `json:"last_settled,omitzero"`
	// Stats count deliveries since New.
	Stats Stats `json:"stats"`
	// Handling is how long handlers took in the last minutes.
	Handling HandlingTime `json:"handling"`
}

// Doing is what a subscription does.
type Doing string

// What a subscription does.
const (
	DoingConsume Doing = "consuming"
	DoingPause   Doing = "paused"   // by Handle.Pause
	DoingBreak   Doing = "breaker"  // its breaker is open
	DoingRevive  Doing = "reviving" // it has no consumer at the broker, and gets one
	DoingTry     Doing = "given_up" // likewise, and it is tried now and then only
	DoingStop    Doing = "stopping"
	DoingNothing Doing = "stopped"
)

// HandlingTime is how long handlers took, over the last four to five minutes; percentiles are exact to an eighth.
type HandlingTime struct {
	Calls uint64        `json:"calls"`
	P50   time.Duration `json:"p50_ns"`
	P95   time.Duration `json:"p95_ns"`
	P99   time.Duration `json:"p99_ns"`
	// Histogram is of all calls since New: how many took no longer than each of [HandlingBuckets], and then all.
	Histogram []uint64 `json:"-"`
	// Fine is of them, too: how many took no longer than each of [FineBuckets], and longer than the one before; at last,
	// what took longer than all. It ends with the longest call.
	Fine []uint64 `json:"-"`
	// Sum is of all calls since New.
	Sum time.Duration `json:"-"`
}

// HandlingBuckets are the durations that HandlingTime.Histogram counts by, the shortest first.
func HandlingBuckets() []time.Duration { return measure.Bounds() }

// FineBuckets are the durations that HandlingTime.Fine counts by, the shortest first. Each is at most a quarter longer than
// the one before, from a microsecond to 67 minutes.
func FineBuckets() []time.Duration { return measure.Ends() }
