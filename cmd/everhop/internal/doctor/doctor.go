package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/everhop/everhop/broker"
)

// Config says what to look at.
type Config struct {
	Endpoints []broker.Endpoint
	// Credentials and TLS are those of a broker.Plan: nil for what the URLs say.
	Credentials broker.CredentialsFunc
	TLS         broker.TLSFunc
	// Queue to consume from or to publish to, "" for none.
	Queue string
	// Prefetch and HandlingTime are those of its consumer; 0 if they are not known.
	Prefetch     int
	HandlingTime time.Duration
	// Management is the URL of the HTTP API, "" for none.
	Management string
	// Journal is the directory of a journal, and Command the line that handles messages; "" for none.
	Journal, Command string
	// CheckCommand returns why a command cannot be started, and Program is its program's file, "" if that is not known.
	CheckCommand func(line string) error
	Program      func(line string) string
	// Step is how long one step over the network may take.
	Step time.Duration
	// Told is called with each finding as it is made. It may be nil.
	Told func(Finding)

	fileLimit func() (uint64, error)
}

// clinic is one examination.
type clinic struct {
	Config
	report *Report
	skew   *time.Duration // of the management's clock against ours; nil: not known
	known  *declared      // the queue as the management knows it; nil: not known
}

// Run makes all checks. It ends when ctx does; what was not looked at until then says so.
func Run(ctx context.Context, config Config) *Report {
	if config.fileLimit == nil {
		config.fileLimit = fileLimit
	}
	c := &clinic{Config: config, report: &Report{}}
	var session *broker.Session
	for _, e := range c.Endpoints {
		s := c.endpoint(ctx, e)
		switch {
		case s == nil:
		case session == nil:
			session = s
			defer session.Abort()
		default:
			s.Abort()
		}
	}
	if c.Management != "" { // before the queue, which its policies are a part of
		c.management(ctx)
	}
	c.atBroker(ctx, session)
	c.clock()
	c.host(ctx)
	return c.report
}

// endpoint returns a session if it can be opened.
func (c *clinic) endpoint(ctx context.Context, e broker.Endpoint) *broker.Session {
	steps := []string{"name", "port", "protocol", "login", "vhost", "broker"}
	done := 0
	stop := func(why string) *broker.Session {
		for _, check := range steps[done:] {
			c.skip(check, e.String(), why)
		}
		return nil
	}
	addresses := c.names(ctx, e)
	if done++; len(addresses) == 0 {
		return stop("the name has no address")
	}
	addresses = c.ports(ctx, e, addresses)
	if done++; len(addresses) == 0 {
		return stop("the port cannot be reached")
	}
	ok := c.protocol(ctx, e, addresses[0])
	if done++; !ok {
		return stop("the port does not speak what the URL says")
	}
	session, at := c.login(ctx, e)
	if done = 5; session == nil {
		if at == "login" {
			c.skip("vhost", e.String(), "nobody is logged in")
		}
		return stop("there is no connection")
	}
	c.peer(e, session)
	return session
}

// atBroker looks at what is the same at each node.
func (c *clinic) atBroker(ctx context.Context, session *broker.Session) {
	checks := []string{"permissions", "alarms", "queue", "round_trip"}
	if session == nil {
		for _, check := range checks {
			if check != "queue" || c.Queue != "" {
				c.skip(check, "", "no connection to a broker could be opened")
			}
		}
		if c.known != nil {
			c.arguments(*c.known, 0)
		}
		return
	}
	c.permissions(ctx, session)
	flows := c.alarms(ctx, session)
	if c.Queue != "" {
		c.queue(ctx, session)
	}
	if !flows {
		c.skip("round_trip", "", "nothing can be published")
		return
	}
	c.roundTrip(ctx, session)
}

func (c *clinic) add(f Finding) {
	c.report.Findings = append(c.report.Findings, f)
	if c.Told != nil {
		c.Told(f)
	}
}

func (c *clinic) ok(check, of, format string, args ...any) {
	c.add(Finding{Check: check, Of: of, Status: OK, Text: fmt.Sprintf(format, args...)})
}

func (c *clinic) warn(check, of, text, advice string) {
	c.add(Finding{Check: check, Of: of, Status: Warning, Text: text, Advice: advice})
}

func (c *clinic) broken(check, of, text, advice string) {
	c.add(Finding{Check: check, Of: of, Status: Broken, Text: text, Advice: advice})
}

func (c *clinic) skip(check, of, because string) {
	c.add(Finding{Check: check, Of: of, Status: Skipped, Text: "because " + because})
}

// step bounds one step over the network.
func (c *clinic) step(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.Step)
}

// plan opens a connection to one endpoint.
func (c *clinic) plan(e broker.Endpoint) broker.Plan {
	return broker.Plan{
		Endpoints: []broker.Endpoint{e}, Credentials: c.Credentials, TLS: c.TLS,
		Name: "everhop doctor", ConnectTimeout: c.Step, CallTimeout: c.Step,
	}
}
