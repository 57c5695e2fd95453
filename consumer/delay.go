package consumer

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/everhop/everhop/broker"
)

// errDelay means that a message cannot be delayed as asked, now or later.
var errDelay = errors.New("consumer: cannot delay")

const (
	// delayLease is how much longer than its messages a delay queue lives.
	delayLease = 10 * time.Minute
	// maxDelay: x-message-ttl and x-expires are less than 2^32 ms, and this is the last with two digits.
	maxDelay = 4_200_000_000 * time.Millisecond
)

// delayQueue is where messages wait that come back into queue after the delay: one queue for each pair of
// these, since only the head of a queue expires. So that varied delays do not make endless queues, they
// are rounded up to two significant digits, in milliseconds.
func delayQueue(queue string, after time.Duration) (name string, o broker.QueueOptions, err error) {
	if after <= 0 || after > maxDelay {
		return "", o, fmt.Errorf("%w by %v: a delay is more than 0 and at most %v", errDelay, after, maxDelay)
	}
	milliseconds, unit := (after + time.Millisecond - 1).Milliseconds(), int64(1)
	const twoDigits = 99
	for milliseconds > twoDigits*unit {
		unit *= 10
	}
	milliseconds = (milliseconds + unit - 1) / unit * unit

	name = fmt.Sprintf("%s.retry.%d", queue, milliseconds)
	if queue == "" || strings.HasPrefix(name, "amq.") {
		return "", o, fmt.Errorf("%w from queue %q: only the broker may declare %q", errDelay, queue, name)
	}
	if err := broker.CheckName(name); err != nil {
		return "", o, fmt.Errorf("%w from queue %s: the name of its delay queue, %s: %w", errDelay, queue, name, err)
	}
	return name, broker.QueueOptions{Durable: true, Arguments: map[string]any{
		"x-queue-type":              "classic", // the lease of a quorum queue is not renewed (RabbitMQ 3.10)
		"x-message-ttl":             milliseconds,
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": queue,
		"x-expires":                 milliseconds + delayLease.Milliseconds(),
	}}, nil
}
