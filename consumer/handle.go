package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/fsm"
)

// handle takes the worker's job from its handler to its outcome, unless it is not to be begun with. When its channel is
// gone, the broker delivers it again; when the consumer stops, it goes back. While the subscription is paused, it
// waits.
func (w *worker) handle() {
	d, j := w.dispatcher, w.job
	v := d.crew.view()
	switch {
	case j.channel.gone():
	case v.idle() && !w.awaitTurn(j.channel):
		d.returnUnseen(j)
	case w.isWithAnother():
	case d.recent == nil || w.dedup():
		w.conclude(w.attempt())
	}
	w.open = false
}

// awaitTurn waits until a delivery may be begun with. It returns false if it is to go back, which the broker
// must not send again at once, or goes with its channel.
func (w *worker) awaitTurn(c *channel) bool {
	d := w.dispatcher
	for {
		v := d.crew.view()
		switch {
		case c.gone():
			return false
		case v.leaving():
			w.awaitSilence()
			return false
		case !v.paused:
			return true
		}
		w.waits.Store(waitsForTurn)
		select {
		case <-v.changed:
		case <-c.source.Lost():
		}
		w.waits.Store(waitsForNothing)
	}
}

// dedup tells whether the handler is to be called, as far as the job's id is concerned. It may have to wait.
func (w *worker) dedup() (goOn bool) {
	d, j := w.dispatcher, w.job
	id := d.calls.nameOf("Dedup.ID", d.spec.Dedup.ID, j.delivery)
	handled, ok := false, true
	if j.again {
		d.recent.Again(id)
	} else {
		handled, ok = d.recent.Begin(id, j.delivery.Redelivered, j.channel.source.Lost())
	}
	switch {
	case handled:
		d.env.counts.deduplicated.Add(1)
		j.channel.acks.Finish(j.delivery.DeliveryTag) // what it had done may still wait for Commit
		return false
	case !ok:
		return false
	case w.awaitTurn(j.channel): // it may have changed while it waited
		w.id, w.deduped = id, true
		return true
	}
	d.returnUnstarted(j)
	d.recent.End(id, false)
	return false
}

// conclude carries out the outcome.
func (w *worker) conclude(o outcome) {
	w.open = false
	if w.deduped {
		w.deduped = false
		w.dispatcher.recent.End(w.id, o.verdict == acknowledged)
	}
	if o.verdict == acknowledged {
		w.job.channel.acks.Finish(w.tag)
	} else {
		w.timing.Touch(w.dispatcher.crew.measures)
		w.settle(o)
	}
}

// interrupted goes on when a function of the caller's has ended the goroutine: that is a failure.
func (w *worker) interrupted() {
	if w.timing.IsBusy() {
		w.timing.End(w.dispatcher.crew.measures, w.number)
	}
	if w.came == nil { // its handler has not begun
		w.keep(*w.job.delivery)
	}
	w.conclude(w.attemptAgain(answer{meaning: fails, text: errGoexit.Error(), cause: NotePanicked}))
}

// attempt calls the handler, and again as long as its outcome is to be tried again in place.
func (w *worker) attempt() outcome {
	d, ended := w.dispatcher, true
	if w.job.delivery.Unreadable != nil {
		w.keep(*w.job.delivery)
		o := d.judge.unreadable(w.came)
		w.report(o)
		return o
	}
	if late, found := d.overruns.find(w.job.delivery); found && late.owed {
		w.keep(*w.job.delivery)
		return w.countOverrun(late)
	}
	w.hand.begin(w.job.channel, w.job.delivery) // which is the handler's to change
	defer func() {
		if ended { // this goroutine
			w.keep(w.hand.came)
		}
	}()
	a := w.call(w.job.delivery)
	ended = false
	if a.meaning == succeeded { // and nothing was allocated
		return d.judge.success()
	}
	w.keep(w.hand.came)
	return w.attemptAgain(a)
}

func (w *worker) attemptAgain(a answer) outcome {
	d, f := w.dispatcher, &w.failure
	if f.attempts == 0 { // it is the first
		*f = failure{delivery: w.came, attempts: Attempts(w.came), first: time.Now()}
	}
	for {
		f.reason, f.brief, f.details, f.cause, f.last = a.text, a.brief, a.details, a.cause, time.Now()
		if a.meaning != couldNotTry {
			f.attempts++
		}
		o := d.judge.decide(a, *f)
		w.report(o)
		if o.verdict != again {
			return o
		}
		w.waits.Store(waitsForRetry)
		waited := w.linger(o.pause)
		w.waits.Store(waitsForNothing)
		if !waited {
			return outcome{verdict: requeued, failure: *f}
		}
		delivery := f.next()
		w.hand.begin(w.job.channel, delivery)
		if a = w.call(delivery); a.meaning == succeeded {
			return d.judge.success()
		}
	}
}

// call turns what the handler returns, or a panic, into an answer. While messages are tried one by one, it waits.
func (w *worker) call(delivery *Delivery) (a answer) {
	d := w.dispatcher
	trial, ok := w.enter()
	if !ok {
		return answer{meaning: asksForRequeue}
	}
	if trial {
		long := time.AfterFunc(longTrial, func() { d.absence.tried(false) })
		defer func() {
			long.Stop()
			d.absence.tried(a.meaning == couldNotTry)
		}()
	}
	ctx := d.env.work
	if d.spec.HandlerTimeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, d.spec.HandlerTimeout, ErrHandlerTimeout)
		defer cancel()
		ctx = limited
	}
	w.timing.Begin(d.crew.measures)
	defer func() {
		if r := recover(); r != nil {
			w.timing.End(d.crew.measures, w.number)
			a = answer{meaning: fails, text: "consumer: " + d.calls.panics.tell("the handler", r), cause: NotePanicked}
		}
	}()
	err := d.spec.Handler(ctx, delivery)
	w.timing.End(d.crew.measures, w.number)
	if err != nil {
		return answerOf(err).in(ctx)
	}
	return answer{}
}

// linger has the job wait in place, through a pause of the subscription if need be. It is the only wait there is
// for what is not acknowledged, so none is longer than mayKeep. False: it is not worth it any more, because its channel
// is gone, or it is to go back.
func (w *worker) linger(pause time.Duration) bool {
	d, c := w.dispatcher, w.job.channel
	timer, patience := time.NewTimer(pause), time.NewTimer(d.judge.mayKeep(w.came))
	defer timer.Stop()
	defer patience.Stop()
	if d.kind.isStream() { // to which nothing goes back
		patience.Stop()
	}
	waited := false
	for {
		v := d.crew.view()
		switch {
		case v.leaving() || c.lost():
			return false
		case waited && !v.paused:
			return true
		}
		select {
		case <-timer.C:
			waited = true
		case <-patience.C:
			return false
		case <-c.source.Lost():
		case <-v.changed:
		}
	}
}

// report counts and logs a failure; an outcome that the handler chose is none.
func (w *worker) report(o outcome) {
	d := w.dispatcher
	if o.missing {
		d.absence.missed(o.failure.reason)
		d.env.tripped()
	}
	if !o.failed {
		return
	}
	d.calls.unlessEnded(&d.env.counts.failed, 1)
	w.tellCause(o)
	what := "handler failed; "
	if w.came.Unreadable != nil {
		what = "the message could not be read; "
	}
	line := d.env.logger.Warn()
	if o.verdict == heldBack { // for long: this is the only line
		line = d.env.logger.Error()
	}
	o.failure.addTo(about(line, w.came)).Int(FieldAttempt, o.failure.attempts).Msg(what + d.judge.inWords(o))
	if o.tripped {
		d.env.tripped()
	}
}

// addTo adds to a line what the error was.
func (f *failure) addTo(line *zerolog.Event) *zerolog.Event {
	if len(f.details) == 0 {
		return line.Str(fsm.FieldError, f.reason)
	}
	line = line.Str(fsm.FieldError, f.brief)
	for _, d := range f.details {
		line = line.Str(d.name, d.text)
	}
	return line
}

// inWords tells in a log line what is to become of a message whose handler failed. None of it has happened yet.
func (j *judge) inWords(o outcome) string {
	switch o.verdict {
	case again:
		return fmt.Sprintf("to be tried again in %v", o.pause.Round(time.Millisecond))
	case rejected:
		return "to be dead-lettered"
	case passedOver:
		return "to be passed over"
	case parked:
		where := "to be parked in " + j.parkingQueue(o.failure.delivery)
		if o.pause > 0 {
			where += fmt.Sprintf(", from which it came, in %v", o.pause.Round(time.Millisecond))
		}
		return where
	case delayed:
		return fmt.Sprintf("to be tried again in %v, out of a delay queue: the broker would not wait so long for its acknowledgement",
			o.pause.Round(time.Millisecond))
	case postponed:
		return "to be published again, to the end of the queue"
	case heldBack:
		return fmt.Sprintf("to be held back, unacknowledged, for %s, since it can be neither handled nor parked: raise MaxMessageSize, or dead-letter what is poison",
			roughly(j.mayKeep(o.failure.delivery)))
	default:
		return fmt.Sprintf("to be handled again in %v", j.spec.RequeuePause)
	}
}

// about adds to a line which delivery it is about, as it came.
func about(line *zerolog.Event, came *Delivery) *zerolog.Event {
	return line.Str(FieldQueue, came.Queue).Uint64(FieldGeneration, came.Generation).
		Uint64("delivery_tag", came.DeliveryTag).Str("message_id", came.MessageID)
}
