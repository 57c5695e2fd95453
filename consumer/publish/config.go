package publish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/consumer/internal/revival"
	"github.com/everhop/everhop/fsm"
)

// Config describes a publisher. URLs is needed; every other field has a default that is meant for production. New reads
// it once and never changes it.
type Config struct {
	// URLs of the broker's nodes, amqp:// or amqps:// (see broker.ParseEndpoints). After a loss the next one in the list
	// is tried first.
	URLs []string
	// Name is the connection's name at the broker and the machine's in the events. Defaults to the program's name.
	Name string
	// Credentials is asked before each dial. Defaults to those in the URL.
	Credentials broker.CredentialsFunc
	// TLS is asked before each dial of an amqps URL. Defaults to the files that the URL names, else to the system's
	// authorities.
	TLS broker.TLSFunc
	// Dial opens the transport; it must honour ctx, and the connection must support deadlines. Defaults to a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// DrainTimeout is how long nothing may come in before the broker is probed. Defaults to 2 s.
	DrainTimeout time.Duration
	// ProbeTimeout is how long nothing may come in after that, and nothing of what is sent may be taken, before the peer
	// counts as dead. Defaults to 2 s. This, DrainTimeout and ConnectTimeout must be between 1 ms and 1 h.
	ProbeTimeout time.Duration
	// Heartbeat is the AMQP heartbeat interval, in whole seconds. Defaults to that of the URL, else to 10 s.
	Heartbeat time.Duration
	// ConnectTimeout is how long the first attempt may take; later ones get more, up to 30 s. Defaults to 5 s.
	ConnectTimeout time.Duration
	// CallTimeout is how long an answer may take on a connection that is alive. Defaults to 10 s.
	CallTimeout time.Duration
	// ReviveBackoff spaces the attempts to revive.
	ReviveBackoff Backoff
	// MaxReviveAttempts is how many attempts of one revival may fail before Run gives up with ErrRetriesExhausted.
	// Defaults to 0: no limit.
	MaxReviveAttempts int
	// GiveUpOn are the classes of errors on which Run ends instead of trying again, unless it had worked before (see
	// HealWithin). Defaults to those that will be equally wrong in an hour: a login that is refused, unless Credentials
	// may know a better one next time, and a virtual host that is not there. An empty, non-nil slice never gives up.
	GiveUpOn []broker.Class
	// HealWithin is for how long an error that waiting does not heal as a rule (a login that is refused, a virtual host
	// that is gone) is waited for all the same once it had worked in this run. Defaults to 10 min; less than 0 is not
	// at all.
	HealWithin time.Duration
	// GracePeriod is how long Run waits for confirms after its ctx has ended. Defaults to 20 s.
	GracePeriod time.Duration

	// Window is how many messages may be on their way, and await their confirm; Send and Publish wait for room. A target
	// (an exchange with a routing key) may have no more of them than are free for the others: so one that gets no
	// confirms has half at most. One message of each target may be on its way even if there is no room, up to another
	// Window of them. Defaults to 1024.
	Window int
	// WindowBytes is how many bytes of messages may be on their way, by the same rules. A message that is larger than half
	// of it counts as half. Defaults to 64 MiB.
	WindowBytes int64

	// Logger gets one line per event. Nobody waits for its writer. Defaults to silence.
	Logger zerolog.Logger
	// Journal is where the events are committed; it is the publisher's alone. Defaults to an [fsm.Ring] of 1024 events.
	Journal fsm.Journal
	// Observers see every committed event, in order, each on a goroutine of its own.
	Observers []func(fsm.Event)
}

// Backoff spaces attempts: the delay before the next one is random between zero and a bound that starts at Initial and
// doubles up to Max. The first attempt to revive is immediate, unless the broker went away as a whole.
type Backoff struct {
	// Initial defaults to 100 ms.
	Initial time.Duration
	// Max defaults to 1 s, or Initial if that is more.
	Max time.Duration
}

const (
	// DefaultWindow is the default of Config.Window.
	DefaultWindow = 1024
	// DefaultWindowBytes is the default of Config.WindowBytes.
	DefaultWindowBytes = 64 << 20

	defaultGracePeriod   = 20 * time.Second
	defaultHealWithin    = 10 * time.Minute
	defaultReviveInitial = 100 * time.Millisecond
	defaultReviveMax     = time.Second
)

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = strings.ToValidUTF8(filepath.Base(os.Args[0]), "?")
	}
	c.DrainTimeout = or(c.DrainTimeout, broker.DefaultDrainTimeout)
	c.ProbeTimeout = or(c.ProbeTimeout, broker.DefaultProbeTimeout)
	c.ConnectTimeout = or(c.ConnectTimeout, broker.DefaultConnectTimeout)
	c.GracePeriod = or(c.GracePeriod, defaultGracePeriod)
	c.HealWithin = or(c.HealWithin, defaultHealWithin)
	c.ReviveBackoff.Initial = or(c.ReviveBackoff.Initial, defaultReviveInitial)
	c.ReviveBackoff.Max = or(c.ReviveBackoff.Max, max(defaultReviveMax, c.ReviveBackoff.Initial))
	c.Window = or(c.Window, DefaultWindow)
	c.WindowBytes = or(c.WindowBytes, DefaultWindowBytes)
	return c
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// plan is the broker's part of the configuration; the error joins all that is wrong with it, and names each field.
func (c Config) plan() (broker.Plan, error) {
	var problems []error
	report := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("publish: "+format, args...))
	}
	if len(c.URLs) == 0 {
		report("URLs: at least one is needed, e.g. amqp://guest:guest@localhost:5672/")
	}
	if c.GracePeriod < 0 {
		report("GracePeriod: %v is negative", c.GracePeriod)
	}
	for _, problem := range revival.Backoff(c.ReviveBackoff).Problems() {
		report("ReviveBackoff.%s", problem)
	}
	if c.MaxReviveAttempts < 0 {
		report("MaxReviveAttempts: %d is negative", c.MaxReviveAttempts)
	}
	if c.Window < 1 {
		report("Window: %d is less than 1", c.Window)
	}
	if c.WindowBytes < 1 {
		report("WindowBytes: %d is less than 1", c.WindowBytes)
	}
	endpoints, err := broker.ParseEndpoints(c.URLs...)
	if err != nil {
		return broker.Plan{}, errors.Join(append(problems, err)...)
	}
	plan := broker.Plan{
		Endpoints:      endpoints,
		Credentials:    c.Credentials,
		TLS:            c.TLS,
		Dial:           c.Dial,
		Name:           c.Name,
		Heartbeat:      c.Heartbeat,
		DrainTimeout:   c.DrainTimeout,
		ProbeTimeout:   c.ProbeTimeout,
		ConnectTimeout: c.ConnectTimeout,
		CallTimeout:    c.CallTimeout,
	}
	return plan, errors.Join(append(problems, plan.Validate())...)
}
