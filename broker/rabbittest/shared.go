package rabbittest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
)

var shared struct {
	once sync.Once
	node *Node
	err  error
}

// Main runs a package's tests, stops the node that Shared started, and exits.
// When the tests passed it then calls each after, a check for leaks say; an error
// from one makes the run fail.
func Main(m *testing.M, after ...func() error) {
	os.Exit(run(m.Run, after))
}

func run(tests func() int, after []func() error) int {
	code := tests()
	if shared.node != nil {
		code = max(code, report(shared.node.Stop()))
	}
	for _, check := range after {
		if code == 0 {
			code = report(check())
		}
	}
	return code
}

// report prints an error and returns the exit code it stands for.
func report(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// Shared returns the node that all tests of a package share. The first call starts it, of the version that
// EVERHOP_TEST_RABBITMQ names, or takes the broker of EVERHOP_TEST_URL instead. Without RabbitMQ on the machine the
// test is skipped, and with EVERHOP_TEST_REQUIRE=1 it fails. With go test -short it is always skipped.
func Shared(tb testing.TB) *Node {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs RabbitMQ, and is skipped with -short")
	}
	shared.once.Do(func() {
		if text := os.Getenv("EVERHOP_TEST_URL"); text != "" {
			shared.node, shared.err = foreignNode(text)
			if shared.err == nil {
				shared.err = shared.node.introduce(context.Background())
			}
			return
		}
		shared.node, shared.err = Start(context.Background())
	})
	switch {
	case shared.err == nil:
	case errors.Is(shared.err, ErrNotInstalled) && os.Getenv("EVERHOP_TEST_REQUIRE") != "1":
		tb.Skip(shared.err)
	default:
		tb.Fatal(shared.err)
	}
	return shared.node
}

// NeedsControl skips a test that must control or inspect its node when the shared
// node is the one of EVERHOP_TEST_URL.
func NeedsControl(tb testing.TB) {
	tb.Helper()
	if Shared(tb).foreign {
		tb.Skip("needs a node of its own: unset EVERHOP_TEST_URL and install rabbitmq-server")
	}
}

// Needs skips a test that is about a feature which the shared node's version does not have.
func Needs(tb testing.TB, f Feature) {
	tb.Helper()
	if node := Shared(tb); !node.Has(f) {
		tb.Skipf("needs a RabbitMQ where this is so, and %s is not one: %s", node.Version(), f)
	}
}

func foreignNode(text string) (*Node, error) {
	parsed, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("rabbittest: EVERHOP_TEST_URL is not a URL") // err would show its password
	}
	addr := parsed.Host
	if parsed.Port() == "" {
		addr += ":5672"
	}
	return &Node{layout: layout{addr: addr}, url: text, foreign: true}, nil
}
