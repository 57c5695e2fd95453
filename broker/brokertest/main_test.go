package brokertest_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/everhop/everhop/broker/rabbittest"
)

func TestMain(m *testing.M) {
	// The tests that run in parallel wait, for timeouts of 3 s above all, and need no processor for that.
	if err := flag.Set("test.parallel", "8"); err != nil { // unless -parallel says otherwise
		panic(err)
	}
	rabbittest.Main(m, func() error { return goleak.Find() })
}
