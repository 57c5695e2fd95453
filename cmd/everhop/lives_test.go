//go:build unix

package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/rabbittest"
	"github.com/everhop/everhop/consumer"
)

// livesEnv is for how long TestExecPutsBackForEver goes on, such as 60s.
const livesEnv = "EVERHOP_TEST_LIVES"

// Commands that put back every message, again and again, use up no lives: a quorum queue drops what came back more often
// than its limit. In a minute each comes back 40 times or more.
func TestExecPutsBackForEver(t *testing.T) {
	t.Parallel()
	takes := 10 * time.Second
	if text := os.Getenv(livesEnv); text != "" {
		var err error
		if takes, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	node := rabbittest.Shared(t)
	for _, limit := range []int{consumer.DefaultDeliveryLimit, 3} {
		t.Run(fmt.Sprint("limit ", limit), func(t *testing.T) {
			t.Parallel()
			arguments, flags := map[string]any{"x-queue-type": "quorum"}, ""
			if limit != consumer.DefaultDeliveryLimit || !node.Has(rabbittest.DefaultLimit) {
				arguments["x-delivery-limit"], flags = limit, fmt.Sprint(" --delivery-limit ", limit)
			}
			queue := newQueueWith(t, arguments, "1", "2", "3")
			let := t.TempDir() + "/let"
			p := prepare(t, append(strings.Fields("consume --concurrency 3 --queue "+queue+flags),
				"--exec", "read b; test -e '"+let+"' || { echo back $b; exit 75; }; echo done $b")...).start()
			<-time.After(takes)
			for _, body := range []string{"1", "2", "3"} {
				rabbittest.Eventually(t, patience, "it is put back", func() bool { return strings.Contains(p.stdout.String(), "back "+body+"\n") })
			}
			if err := os.WriteFile(let, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, body := range []string{"1", "2", "3"} {
				rabbittest.Eventually(t, patience, "it is handled", func() bool { return strings.Contains(p.stdout.String(), "done "+body+"\n") })
				t.Logf("message %s was put back %d times", body, strings.Count(p.stdout.String(), "back "+body+"\n"))
			}
			p.signal(syscall.SIGTERM)
			p.wait(0)
			holds(t, queue, 0)
		})
	}
}
