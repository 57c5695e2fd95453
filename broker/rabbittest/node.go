package rabbittest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errForeignNode = errors.New("rabbittest: the node of EVERHOP_TEST_URL cannot be controlled")
	errStopped     = errors.New("rabbittest: the node was stopped")
	errBooting     = errors.New("rabbittest: the node is still booting")
	errEnded       = errors.New("rabbittest: the server has ended")
)

const (
	// bootTimeout ends a start whose context has no earlier deadline.
	bootTimeout = 5 * time.Minute
	// greetTimeout is how long a node may take to answer the protocol header; then it is asked again.
	greetTimeout = time.Second
	// evalTimeout is how long it may take to say that it has booted; then it is asked again.
	evalTimeout = 5 * time.Second
	// lastWords is how much of the server's log an error shows.
	lastWords = 8 << 10
)

// Node is a private RabbitMQ node, or the one of EVERHOP_TEST_URL: that was not
// started here, and methods that control or inspect it return an error. Methods are
// safe for concurrent use; Kill, Restart and Stop wait for each other.
type Node struct {
	layout
	url     string
	tools   installation
	foreign bool

	mu       sync.Mutex
	watchdog *watchdog // nil after Stop
	epmd     *process  // nil if another node of the cluster has it
	server   *process  // nil while killed

	asking  sync.Mutex             // held by Eval
	version atomic.Pointer[string] // as the node said when it was ready last
}

// Start starts a private node and waits until it is ready, about 4 s. ctx
// ends the waiting, not the node; the wait also ends after 3 minutes. The caller calls
// Stop. Without RabbitMQ on the machine the error is [ErrNotInstalled].
func Start(ctx context.Context, options ...Option) (*Node, error) {
	nodes, err := start(ctx, 1, options)
	if err != nil {
		return nil, err
	}
	return nodes[0], nil
}

// start starts nodes that form a cluster, all at once. The first has what they share, and is stopped last.
func start(ctx context.Context, count int, options []Option) (nodes []*Node, err error) {
	tools, err := findInstallation(ctx, newSettings(options).version)
	if err != nil {
		return nil, err
	}
	layouts, err := newLayouts(count)
	if err != nil {
		return nil, err
	}
	for _, l := range layouts {
		nodes = append(nodes, &Node{layout: l, tools: tools, url: "amqp://guest:guest@" + l.addr + "/"})
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stop(nodes))
		}
	}()
	for _, n := range nodes {
		if n.watchdog, err = startWatchdog(n.dir); err != nil {
			return nodes, errors.Join(err, os.RemoveAll(n.dir))
		}
	}
	first := nodes[0]
	if first.epmd, err = startEpmd(ctx, tools, first.layout); err != nil {
		return nodes, err
	}
	first.watchdog.guard(first.epmd)
	booting := make(chan error)
	for _, n := range nodes {
		go func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			booting <- n.boot(ctx)
		}()
	}
	for range nodes {
		err = errors.Join(err, <-booting)
	}
	return nodes, err
}

// stop stops nodes, the first last.
func stop(nodes []*Node) (err error) {
	for _, n := range slices.Backward(nodes) {
		err = errors.Join(err, n.Stop())
	}
	return err
}

// URL is amqp://guest:guest@127.0.0.1:PORT/, the same for the node's whole life.
func (n *Node) URL() string { return n.url }

// Addr is the endpoint of the node's AMQP listener, 127.0.0.1:PORT.
func (n *Node) Addr() string { return n.addr }

// Kill ends the node as kill -9 does and waits until it is gone. What was declared
// in the last moments may be lost with it; see Sync. It does nothing when the node
// is not running.
func (n *Node) Kill() error {
	if n.foreign {
		return errForeignNode
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kill()
	return nil
}

// Restart starts the node again, on the same ports and the same data, and waits
// as Start does. A node that still runs is killed first; one that was stopped is
// gone for good.
func (n *Node) Restart(ctx context.Context) error {
	if n.foreign {
		return errForeignNode
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watchdog == nil {
		return errStopped
	}
	n.kill()
	return n.boot(ctx)
}

// Stop kills the node, waits until it is gone and removes its folder. Stop is
// idempotent.
func (n *Node) Stop() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer release(n.ports)
	if n.watchdog == nil {
		return nil
	}
	n.kill()
	if n.epmd != nil {
		n.epmd.kill()
	}
	err := n.watchdog.stop()
	n.watchdog = nil
	return err
}

// boot starts the server and waits for it. Callers hold mu.
func (n *Node) boot(ctx context.Context) error {
	output, err := os.Create(n.path("server.log"))
	if err != nil {
		return err
	}
	defer output.Close()
	cmd := n.tools.command(n.layout, n.tools.server)
	cmd.Stdout, cmd.Stderr = output, output
	if n.server, err = launch(cmd); err != nil {
		return fmt.Errorf("rabbittest: %w", err)
	}
	n.watchdog.guard(n.epmd, n.server)

	if err := n.await(ctx, n.server.done); err != nil {
		err = fmt.Errorf("%w\n%s", err, tail(output, lastWords))
		n.kill()
		return err
	}
	return nil
}

// kill ends the server if it runs. Callers hold mu.
func (n *Node) kill() {
	if n.server == nil {
		return
	}
	n.server.kill()
	n.watchdog.guard(n.epmd)
	n.server = nil
}

// await waits until the node is ready, ctx ends or the server has ended. A
// nil channel stands for a server whose end is not watched.
func (n *Node) await(ctx context.Context, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer end(nil)
	watching.Go(func() {
		select {
		case <-ended:
			end(errEnded) // also what is asked of it at the moment
		case <-ctx.Done():
		}
	})
	retry := time.NewTicker(pollInterval)
	defer retry.Stop()
	for {
		err := n.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errEnded) {
				return fmt.Errorf("rabbittest: node %s ended while it started", n.name)
			}
			return fmt.Errorf("rabbittest: node %s is not ready: %w (last: %w)", n.name, ctx.Err(), err)
		case <-retry.C:
		}
	}
}

// ready tells whether the node answers AMQP and has booted. The listener answers a moment before that,
// and until then rabbitmqctl and mnesia refuse work.
func (n *Node) ready(ctx context.Context) error {
	if err := n.introduce(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, evalTimeout)
	defer cancel()
	switch running, err := n.Eval(ctx, "rabbit:is_running()."); {
	case err != nil:
		return err
	case running != "true":
		return errBooting
	}
	return nil
}

// introduce learns the node's version.
func (n *Node) introduce(ctx context.Context) error {
	version, err := n.greet(ctx)
	if err == nil {
		n.version.Store(&version)
	}
	return err
}

// tail is the end of a file, for an error message.
func tail(file *os.File, limit int64) []byte {
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(io.NewSectionReader(file, max(0, info.Size()-limit), limit))
	return text
}
