package main

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/broker/rabbittest"
)

// Who consumes or publishes at the wrong place is told the right one at once.
func TestHints(t *testing.T) {
	server := brokertest.NewServer(t)
	web := httptest.NewServer(nil)
	t.Cleanup(web.Close)
	for url, want := range map[string]string{
		"amqps://" + server.Addr():                          broker.HintPlainPort,
		"amqps://" + strings.TrimPrefix(web.URL, "http://"): broker.HintHTTPPort,
		"amqp://nosuch.invalid":                             broker.HintName,
	} {
		for _, command := range []string{"consume", "publish"} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			var said transcript
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				run(ctx, []string{command, "--queue", "q", "--url", url}, strings.NewReader("x\n"), &transcript{}, &said)
			}()
			rabbittest.Eventually(t, patience, command+" at "+url+": "+want, func() bool { return strings.Contains(said.String(), want) })
			cancel()
			<-ended
		}
	}
}
