package parked

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
)

// Config says what is looked at. URLs and Queue are needed.
type Config struct {
	// URLs of the broker's nodes, amqp:// or amqps:// (see broker.ParseEndpoints).
	URLs []string
	// Queue is the parking or dead-letter queue. It must exist.
	Queue string
	// Filter says which messages are meant. Defaults to all.
	Filter Filter
	// Count is how many of those, at most. 0 means no limit.
	Count int
	// Every is the least time between two messages that [Retry] publishes. Defaults to none.
	Every time.Duration
	// StreamOffset says that the queue is a stream, for [Look] alone: where to begin, as consumer.Stream has it. Then
	// Look ends after Count messages, or when none has come for a second.
	StreamOffset any
	// MaxMemory is how many bytes of messages may wait in memory. Defaults to 64 MiB.
	MaxMemory int64

	// Name is the connections' name at the broker. Defaults to the program's name.
	Name string
	// Credentials is asked before each dial. Defaults to those in the URL.
	Credentials broker.CredentialsFunc
	// TLS is asked before each dial of an amqps URL. Defaults to the files that the URL names, else to the system's
	// authorities.
	TLS broker.TLSFunc
	// Dial opens the transport; it must honour ctx, and the connection must support deadlines. Defaults to a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// User is who publishes in [Retry]: a message of that user has its user-id again.
	User string
	// Logger gets what happens to the connection over which Retry publishes. Defaults to silence.
	Logger zerolog.Logger
}

const defaultMaxMemory = 64 << 20

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = strings.ToValidUTF8(filepath.Base(os.Args[0]), "?")
	}
	if c.MaxMemory == 0 {
		c.MaxMemory = defaultMaxMemory
	}
	return c
}

func (c Config) validate() error {
	var problems []error
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf("parked: "+format, args...)) }
	if len(c.URLs) == 0 {
		report("URLs: at least one is needed")
	}
	if c.Queue == "" {
		report("Queue: empty")
	}
	if c.Count < 0 {
		report("Count: %d is negative", c.Count)
	}
	if c.Every < 0 {
		report("Every: %v is negative", c.Every)
	}
	if c.MaxMemory < 0 {
		report("MaxMemory: %d is negative", c.MaxMemory)
	}
	return errors.Join(problems...)
}

func (c Config) plan() (broker.Plan, error) {
	endpoints, err := broker.ParseEndpoints(c.URLs...)
	if err != nil {
		return broker.Plan{}, err
	}
	subscription := broker.Subscription{Queue: c.Queue, Prefetch: 1}
	if c.StreamOffset != nil {
		subscription.Arguments = map[string]any{"x-stream-offset": c.StreamOffset}
	}
	plan := broker.Plan{
		Endpoints: endpoints, Credentials: c.Credentials, TLS: c.TLS, Dial: c.Dial, Name: c.Name,
		Subscriptions: slices.Repeat([]broker.Subscription{subscription}, maxParts), // of which most are never consumed
	}
	return plan, plan.Validate()
}
