package demo

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/parked"
)

const (
	// Failing is how many messages cannot be handled, and are parked.
	Failing = 5
	// between is how far their numbers are apart: others are handled meanwhile.
	between = 8
)

var parkingQueue = consumer.DefaultParkingQueue(queue)

// articles are those that the handler does not know: the numbers of the messages that are about them.
type articles map[int]bool

func (d *demonstration) isUnknown(number int) bool {
	unknown := d.unknown.Load()
	return unknown != nil && (*unknown)[number]
}

// repair has some messages fail for a reason that is then removed: they are parked, looked at, retried, and handled.
func (d *demonstration) repair(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.patience, fmt.Errorf("parked messages: not repaired within %v", d.patience))
	defer cancel()
	d.screen.say(repairing(d.screen.ink)...)
	d.forget()
	all := func() bool { q, _ := d.server.Queue(parkingQueue); return q.Ready == Failing }
	if err := d.server.Await(ctx, all); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	config := parked.Config{URLs: []string{d.server.URL()}, Queue: parkingQueue, Name: name + "-repair"}
	var groups parked.Groups
	if _, err := parked.Look(ctx, config, func(e *parked.Entry) error { groups.Add(e); return nil }); err != nil {
		return err
	}
	d.tell(fmt.Sprintf("%d are parked. everhop parked list %s --group", Failing, parkingQueue))
	for _, g := range groups.List() {
		d.screen.say("        " + d.screen.ink.Paint(fmt.Sprintf("%d from %s: %s", g.Count, g.Example.From, g.Error), term.Grey))
	}
	d.unknown.Store(nil)
	d.tell("Now it knows them. everhop parked retry " + parkingQueue)
	tally, err := parked.Retry(ctx, config, func(e *parked.Entry, err error) {
		if number, wrong := strconv.Atoi(e.Message.MessageID); err == nil && wrong == nil {
			d.ledger.retried(number)
		}
	})
	if err != nil {
		return err
	}
	if err := d.ledger.await(ctx, func(h *history) bool { return h.repaired() == tally.Done }); err != nil {
		return err
	}
	d.screen.say(clock(d.ledger.now()) + "  " + d.screen.ink.Paint(fmt.Sprintf("%d retried, and handled.", tally.Done), term.Green))
	return nil
}

// forget makes some articles unknown to the handler. The messages about them are published soon, and none is yet.
func (d *demonstration) forget() {
	d.ledger.look(func(h *history) {
		unknown := articles{}
		for i := range Failing {
			unknown[len(h.messages)+between*(i+1)] = true
		}
		d.unknown.Store(&unknown)
	})
}

func (d *demonstration) tell(text string) {
	d.screen.say(clock(d.ledger.now()) + "  " + d.screen.ink.Paint(text, term.Bold))
}

// repairing says what is about to fail, and why.
func repairing(ink term.Ink) []term.Text {
	return []term.Text{
		"",
		ink.Paint("At last: some messages cannot be handled.", term.Bold),
		term.Plain(fmt.Sprintf("%d are about articles that the handler does not know. It says", Failing)),
		"that trying again cannot help, and Everhop parks them.",
	}
}
