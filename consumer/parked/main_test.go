package parked_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/everhop/everhop/broker/rabbittest"
)

func TestMain(m *testing.M) {
	rabbittest.Main(m, func() error { return goleak.Find() })
}
