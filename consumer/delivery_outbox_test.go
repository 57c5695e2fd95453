package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pgregory.net/rapid"
)

const (
	parkingQueue = "q.parked"
	// stuck is how long a handler takes that does not end with its context.
	stuck = 10 * time.Minute
)

// outboxAnswer is what comes of publishing a message again.
type outboxAnswer struct {
	took   time.Duration
	answer modelAnswer
}

type modelAnswer string

const (
	confirms modelAnswer = "nil"
	refuses  modelAnswer = "an error"
	lies     modelAnswer = "an error, though it was published"
	never    modelAnswer = "an error that wraps errDelay"
	hangs    modelAnswer = "nothing"
)

var drawAnswer = rapid.SampledFrom([]modelAnswer{
	confirms, confirms, refuses, lies, never, refuses, lies, never, hangs,
})

func (p *plan) drawOutbox(t *rapid.T) {
	p.poison = rapid.SampledFrom([]Poison{Park, Park, Park, DeadLetter, PutBack}).Draw(t, "poison with an outbox")
	for range rapid.IntRange(0, 4).Draw(t, "answers") {
		p.answers = append(p.answers, outboxAnswer{drawShort.Draw(t, "took"), drawAnswer.Draw(t, "answer")})
	}
}

// modelOutbox is a republisher that holds every call against what the handler had said.
type modelOutbox struct{ *history }

func (o modelOutbox) park(ctx context.Context, delivery *Delivery, queue string, why failure) error {
	return o.publishAgain(ctx, parked, delivery, why, func(d *modelDelivery) string {
		switch {
		case !o.poison(d, Park):
			return d.ending()
		case queue != parkingQueue:
			return "it goes to " + queue
		}
		return ""
	}, func(d *modelDelivery) { d.parked++ })
}

func (o modelOutbox) delay(ctx context.Context, delivery *Delivery, after time.Duration, why failure) error {
	return o.publishAgain(ctx, delayed, delivery, why, func(d *modelDelivery) string {
		if d.last != muchLater || after != retryAfterOut {
			return fmt.Sprintf("it is by %v, and %s", after, d.ending())
		}
		return ""
	}, func(d *modelDelivery) { o.modelBroker.delay(d.modelBody, after, why.attempts) })
}

func (modelOutbox) ready(context.Context) {}

func (modelOutbox) postpone(context.Context, *Delivery, failure) error {
	return errors.New("no handler of the model takes too long")
}

func (o modelOutbox) save(context.Context, *Delivery) error {
	return errors.New("nothing of the model has few lives left")
}

// publishAgain copies a message with put, if the answer that was drawn lets it.
func (o modelOutbox) publishAgain(
	ctx context.Context, how verdict, delivery *Delivery, why failure, judge func(*modelDelivery) string, put func(*modelDelivery),
) error {
	d, a := o.take(how, delivery, why, judge)
	var answered <-chan time.Time
	if a.answer != hangs {
		answered = time.After(a.took)
	}
	var late error
	select {
	case <-answered:
	case <-ctx.Done():
		late = ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.republishing--
	if a.answer == lies || late == nil && a.answer == confirms {
		put(d)
	}
	o.note("%v is to be %s: the answer is %s, context: %v", d, how, a.answer, late)
	switch {
	case late != nil:
		return late
	case a.answer == confirms:
		d.copied = how
		return nil
	case a.answer == never && how == delayed:
		d.never = true
		return fmt.Errorf("wrapped: %w", errDelay)
	}
	return errors.New("not now")
}

// take tells what is wrong with publishing the message again, and how it ends.
func (o modelOutbox) take(
	how verdict, delivery *Delivery, why failure, judge func(*modelDelivery) string,
) (*modelDelivery, outboxAnswer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.channels[delivery.Generation-1].deliveries[delivery.DeliveryTag-1]
	o.note("%v is being %s", d, how)
	problem := judge(d)
	switch {
	case problem != "":
	case d.running:
		problem = "it is with its handler"
	case d.told != "" || d.copied != acknowledged:
		problem = fmt.Sprintf("it was settled by %q, or is already %s", d.told, d.copied)
	case d.never:
		problem = "the outbox has said that it can never be"
	case why.attempts != d.tried() || why.reason == "":
		problem = fmt.Sprintf("because of %d calls and %q, and there were %d", why.attempts, why.reason, d.tried())
	case d.channel.ended && d.channel.lostAt.Before(time.Now()):
		problem = "its channel is lost, and it comes again"
	case o.over:
		problem = "it is after the end"
	}
	if problem != "" {
		o.fault("%v is %s: %s", d, how, problem)
	}
	a := outboxAnswer{answer: confirms}
	if o.republished < len(o.plan.answers) {
		a = o.plan.answers[o.republished]
	}
	o.republished++
	o.republishing++
	return d, a
}
