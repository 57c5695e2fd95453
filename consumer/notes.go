package consumer

// The names of a consumer's notes ([fsm.KindNote]): what happened that changed no state. Whoever reads
// events goes by these, and not by the texts.
const (
	// NotePauseRequested and the three after it say that the caller wants a change.
	NotePauseRequested       = "pause_requested"
	NoteResumeRequested      = "resume_requested"
	NotePrefetchRequested    = "prefetch_requested"
	NoteConcurrencyRequested = "concurrency_requested"
	// NotePaused and the two after it say that the broker has carried it out.
	NotePaused      = "paused"
	NoteResumed     = "resumed"
	NotePrefetchSet = "prefetch_set"
	// NotePrefetchLowered and NotePrefetchRaised say that another prefetch is asked for: since messages are larger
	// or smaller than before (Subscription.PrefetchBytes), or since a quorum queue's consumer was lost again and
	// again, and works for longer now. NotePrefetchHeld says that nothing is asked for until some of what has come
	// is handled.
	NotePrefetchLowered = "prefetch_lowered"
	NotePrefetchRaised  = "prefetch_raised"
	NotePrefetchHeld    = "prefetch_held"
	// NoteReleased: what waited in memory, in a pause or not, has gone back to the queue, since the broker does not
	// wait for ever.
	NoteReleased = "released"
	// NoteOutcomes: what became of the messages of a queue since the last one, a minute or less: the counts of Stats,
	// the handler's calls, and how long those took. There is one for each minute in which anything has become of any,
	// and one before a loss and before the end. All of a run together say what Stats say when Run has returned.
	NoteOutcomes = "outcomes"
	// NoteParked and NoteDeadLettered: what became of one message that could not be handled, or that its handler has
	// rejected. Evidence.Error is the first line of its last error; Evidence.Cause is one of the last three, if
	// that was it. On a stream NoteDeadLettered is about one that is passed over. Of these, the four below and
	// StaleOutcome no more than 20 a minute and queue are told of; the next NoteOutcomes says how many were left out.
	NoteParked       = "parked"
	NoteDeadLettered = "dead_lettered"
	// NoteSaved: one message had come back nearly as often as its quorum queue allows, and was published again, to the
	// end of it, before it could be dropped.
	NoteSaved = "saved"
	// NotePermanent, NoteTimedOut and NotePanicked are about one message that was neither parked nor rejected for it:
	// its handler returned a Permanent error, or it could not be read; HandlerTimeout was over, or the broker did not
	// wait any longer (consumer_timeout); its handler panicked. A message that fails on in the same way in place is told
	// of once.
	NotePermanent = "permanent"
	NoteTimedOut  = "timed_out"
	NotePanicked  = "panicked"
	// NoteBreakerOpen: so many failures in a row that the subscription is paused, or one that is Unavailable, which
	// Evidence.Error has then. NoteBreakerClosed: its pause is over, or Resume was called.
	NoteBreakerOpen   = "breaker_open"
	NoteBreakerClosed = "breaker_closed"
	// NoteBlocked: the broker has stopped reading from the connection (connection.blocked).
	NoteBlocked   = "blocked"
	NoteUnblocked = "unblocked"
	// NoteOverdue: a delivery has been unacknowledged for so long that the broker is about to close its
	// channel, or to cancel its consumer.
	NoteOverdue = "overdue"
	// NoteQueueDiffers and NoteExchangeDiffers: what exists is not as it is declared, and is used as it is.
	// Evidence.Error has the broker's words.
	NoteQueueDiffers    = "queue_differs"
	NoteExchangeDiffers = "exchange_differs"
	// NoteLossWhileReviving: something else was lost before the revival was complete.
	NoteLossWhileReviving = "loss_while_reviving"
	// NoteApart: what keeps others from being consumed goes on apart, on a connection of its own; the queue, and why.
	// What is apart is no part of the lifecycle's state any more, and told of by the four after it: it is
	// consumed, was lost, an attempt to revive it failed, and it is consumed on the shared connection again.
	NoteApart          = "apart"
	NoteApartConsuming = "apart_consuming"
	NoteApartLost      = "apart_lost"
	NoteApartFailed    = "apart_failed"
	NoteHome           = "home"
	// NoteGivenUp: a subscription cannot be consumed, and waiting will hardly help. It is tried now and then.
	NoteGivenUp = "given_up"
	// NoteStalled: the process stood still for Evidence.StalledMS, or the clock was set ahead by so much.
	// It was stopped (SIGSTOP), the machine was suspended, or the processor was not to be had. Nothing
	// was handled meanwhile.
	NoteStalled = "stalled"
	// NoteClockSetBack: the wall clock was set back by more than a second.
	NoteClockSetBack = "clock_set_back"
)

// The names of a consumer's stale events ([fsm.KindStale]): what was seen too late to matter.
const (
	// StaleLoss: the loss of a consumer that was not in use any more.
	StaleLoss = "stale_loss"
	// StaleProbe: the answer to a probe of a connection that was not in use any more.
	StaleProbe = "stale_probe"
	// StaleOutcome: the outcome of a delivery whose channel was gone.
	StaleOutcome = "stale_outcome"
)
