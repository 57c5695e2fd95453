package rabbittest

import (
	"context"
	"errors"
	"fmt"
)

// ErrNoQueue is returned by Depth when the queue does not exist.
var ErrNoQueue = errors.New("rabbittest: no such queue")

// Consumers returns how many consumers the broker counts on a queue of virtual
// host "/", and -1 when the queue does not exist. It costs a few milliseconds, so
// a test may poll it.
func (n *Node) Consumers(ctx context.Context, queue string) (int, error) {
	q, err := n.queue(ctx, queue)
	if errors.Is(err, ErrNoQueue) {
		return -1, nil
	}
	return q.consumers, err
}

// Depth returns how many messages of a queue of virtual host "/" wait for
// delivery, and how many are delivered and not acknowledged. It costs as little as
// Consumers. Without such a queue the error is [ErrNoQueue].
func (n *Node) Depth(ctx context.Context, queue string) (ready, unacked int, err error) {
	q, err := n.queue(ctx, queue)
	return q.ready, q.unacked, err
}

type queueInfo struct{ consumers, ready, unacked int }

// lookup gives a tuple, since a list of small numbers prints as text. Some versions know their queues though they are stopped.
const lookup = `
case rabbit:is_running() andalso rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, %s)) of
	false -> stopped;
	{ok, Q} ->
		Info = rabbit_amqqueue:info(Q, [consumers, messages_ready, messages_unacknowledged]),
		list_to_tuple([Value || {_, Value} <- Info]);
	{error, not_found} -> none
end.
`

func (n *Node) queue(ctx context.Context, name string) (info queueInfo, err error) {
	answer, err := n.Eval(ctx, fmt.Sprintf(lookup, octets(name)))
	if err != nil {
		return info, err
	}
	if answer == "none" {
		return info, fmt.Errorf("%w: %q", ErrNoQueue, name)
	}
	if _, err := fmt.Sscanf(answer, "{%d,%d,%d}", &info.consumers, &info.ready, &info.unacked); err != nil {
		return queueInfo{}, fmt.Errorf("rabbittest: queue %q: the node answered %s", name, answer)
	}
	return info, nil
}

// Sync writes what was declared to disk. A RabbitMQ that has Mnesia for it confirms a declaration before that,
// and a node that is killed in the next moment has forgotten it.
func (n *Node) Sync(ctx context.Context) error {
	_, err := n.Eval(ctx, "case whereis(mnesia_sup) of undefined -> ok; _ -> mnesia:dump_log() end.")
	return err
}
