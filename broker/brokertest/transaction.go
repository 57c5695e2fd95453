package brokertest

import (
	"cmp"
	"slices"

	"github.com/everhop/everhop/broker/internal/versions"
	"github.com/everhop/everhop/broker/internal/wire"
)

// transaction is what a channel has done since its last commit or rollback.
type transaction struct {
	published  []routed
	settled    []settlement
	committing []*queue // with which commit-ok waits; nil if there is no commit under way
}

// routed is a message and where it goes.
type routed struct {
	*message
	exchange  *exchange
	mandatory bool
	fate      fate
	replied   bool // to those who consume direct replies
	queues    []*queue
}

// settlement is what a client has said about deliveries.
type settlement struct {
	method            wire.Method
	multiple, requeue bool
	taken             []*delivery
	outcome           func(*delivery)
}

var errNoTransaction = refuse(preconditionFailed, "channel is not transactional")

func (ch *channel) selectTx() error {
	if ch.confirming {
		return refuse(preconditionFailed, "cannot switch from confirm to tx mode")
	}
	if ch.tx == nil {
		ch.tx = &transaction{}
	}
	ch.send(&wire.TxSelectOK{})
	return nil
}

func (ch *channel) selectConfirms(m *wire.ConfirmSelect) error {
	if ch.tx != nil {
		return refuse(preconditionFailed, "cannot switch from tx to confirm mode")
	}
	ch.confirming = true
	ch.answer(m.NoWait, &wire.ConfirmSelectOK{})
	return nil
}

// commit has come about what was published, and then what was settled. It is answered when all queues have confirmed.
func (ch *channel) commit() error {
	if ch.tx == nil {
		return errNoTransaction
	}
	done := ch.tx
	ch.tx = &transaction{}
	failed := error(nil)
	for _, r := range done.published {
		accepted, err := ch.deliver(&r)
		if err == nil && !accepted {
			err = refuse(preconditionFailed, "partial tx completion")
		}
		failed = cmp.Or(failed, err)
		ch.tx.committing = append(ch.tx.committing, r.queues...)
	}
	for _, s := range done.settled {
		ch.conclude(s)
	}
	ch.feed()
	if failed != nil {
		ch.tx.committing = nil
		return failed
	}
	ch.completeCommit()
	return nil
}

// deliver hands a message of a transaction to its queues.
func (ch *channel) deliver(r *routed) (accepted bool, err error) {
	s := ch.connection.server
	if r.fate == routable && r.exchange.name == "" && !s.has(versions.RoutesAtOnce) {
		r.queues = r.exchange.route(r.message)
	}
	for _, q := range r.queues {
		if q.deleted && s.has(versions.RoutesAtOnce) {
			return false, q.goneBeforeCommit()
		}
	}
	r.queues = slices.DeleteFunc(r.queues, func(q *queue) bool { return q.deleted })
	return ch.enqueue(*r), nil
}

// goneBeforeCommit is what a transaction comes to that has a message for a queue which is deleted.
func (q *queue) goneBeforeCommit() error {
	if q.host.server.has(versions.NamesLostQueues) {
		return refuse(resourceError, "failed to deliver message: {not_found,\n%31s{resource,%s,queue,%s}}", "",
			erlangBinary(q.host.name, true), erlangBinary(q.name, true))
	}
	return refuse(preconditionFailed, "partial tx completion")
}

// completeCommit answers a commit, unless a queue withholds its confirm.
func (ch *channel) completeCommit() {
	ch.tx.committing = slices.DeleteFunc(ch.tx.committing, func(q *queue) bool { return !q.withholds() })
	if len(ch.tx.committing) == 0 {
		ch.tx.committing = nil
		ch.send(&wire.TxCommitOK{})
	}
}

func (ch *channel) rollback() error {
	if ch.tx == nil {
		return errNoTransaction
	}
	ch.unsettle()
	ch.tx = &transaction{}
	ch.send(&wire.TxRollbackOK{})
	return nil
}

// unsettle takes back what was settled and not committed.
func (ch *channel) unsettle() {
	if ch.tx == nil {
		return
	}
	for _, s := range ch.tx.settled {
		ch.unacked.open = append(ch.unacked.open, s.taken...)
	}
	ch.tx.settled = nil
	slices.SortFunc(ch.unacked.open, func(a, b *delivery) int { return cmp.Compare(a.tag, b.tag) })
}
