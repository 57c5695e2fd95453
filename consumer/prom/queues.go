package prom

import (
	"cmp"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"github.com/everhop/everhop/consumer"
)

// Names of what is no queue's name.
const (
	// Temporary is the label of queues that the broker has named: those names are never the same twice.
	Temporary = "(temporary)"
	// Other is the label of all queues beyond Config.Queues.
	Other = "(other)"
)

// row is one value of the label queue, with the labels of its metrics.
type row struct {
	queue    string
	plain    labels
	outcomes [len(outcomes)]labels
	doing    [len(doings)]labels

	sum sum
}

// outcomes are what becomes of a delivery in the end.
var outcomes = [...]struct {
	name string
	of   func(*consumer.Stats) uint64
}{
	{"acknowledged", func(s *consumer.Stats) uint64 { return s.Acknowledged }},
	{"requeued", func(s *consumer.Stats) uint64 { return s.Requeued }},
	{"saved", func(s *consumer.Stats) uint64 { return s.Saved }},
	{"rejected", func(s *consumer.Stats) uint64 { return s.Rejected }},
	{"delayed", func(s *consumer.Stats) uint64 { return s.Delayed }},
	{"parked", func(s *consumer.Stats) uint64 { return s.Parked }},
	{"returned_unstarted", func(s *consumer.Stats) uint64 { return s.ReturnedUnstarted }},
	{"stale", func(s *consumer.Stats) uint64 { return s.Stale }},
}

// doings are what a subscription can do.
var doings = [...]consumer.Doing{
	consumer.DoingConsume, consumer.DoingPause, consumer.DoingBreak, consumer.DoingRevive,
	consumer.DoingTry, consumer.DoingStop, consumer.DoingNothing,
}

// rows are the values of the label queue that a consumer has, and which subscription belongs to which.
type rows struct {
	all []*row // by their labels
	of  []*row // by the place among the subscriptions
}

func newRows(name string, queues []string, most int) rows {
	var r rows
	byLabel := make(map[string]*row)
	of := labels{pair("consumer", name)}
	for _, queue := range queues {
		label := queue
		if label == "" {
			label = Temporary
		}
		if byLabel[label] == nil && label != Temporary && most == 0 {
			label = Other
		}
		if byLabel[label] == nil {
			if label != Temporary && label != Other {
				most--
			}
			byLabel[label] = newRow(of, label)
			r.all = append(r.all, byLabel[label])
		}
		r.of = append(r.of, byLabel[label])
	}
	slices.SortFunc(r.all, func(a, b *row) int { return cmp.Compare(a.queue, b.queue) })
	return r
}

func newRow(of labels, queue string) *row {
	plain := of.with("queue", queue)
	r := &row{queue: queue, plain: plain}
	for i := range outcomes {
		r.outcomes[i] = plain.and(outcomePairs[i])
	}
	for i := range doings {
		r.doing[i] = plain.and(doingPairs[i])
	}
	return r
}

var (
	outcomePairs [len(outcomes)]*dto.LabelPair
	doingPairs   [len(doings)]*dto.LabelPair
)

func init() {
	for i, o := range outcomes {
		outcomePairs[i] = pair("outcome", o.name)
	}
	for i, d := range doings {
		doingPairs[i] = pair("doing", string(d))
	}
}
