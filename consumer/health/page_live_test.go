package health_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/health"
	"github.com/everhop/everhop/fsm"
)

// What happens to a consumer is to be seen at once: each second, and sooner when there is an event.
func TestPageIsLive(t *testing.T) {
	b := newBrowser(t)
	broker := brokertest.NewServer(t)
	if err := broker.DeclareQueue("orders", nil); err != nil {
		t.Fatal(err)
	}
	events := health.NewEvents()
	c, err := consumer.New(consumer.Config{
		Name: "shop", URLs: []string{broker.URL()}, Observers: []func(fsm.Event){events.Observe},
		Subscriptions: []consumer.Subscription{{Queue: "orders", Handler: func(context.Context, *consumer.Delivery) error { return nil }}},
	})
	if err != nil {
		t.Fatal(err)
	}
	page := health.New(c, events, health.Options{})
	server := httptest.NewServer(page)
	defer server.Close()
	defer page.Close()
	p := b.open(t, server.URL+"/", laptop)
	p.await("word that it was not started", `document.querySelector("#headline")?.textContent.includes("not started")`)

	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background()) }()
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = c.Stop(ctx)
		<-ended
	}()
	p.await("word that it consumes", `document.querySelector("#headline").textContent === "orders: it is consumed"`)
	p.await("the state in the graph", `document.querySelector("#graph .now")?.dataset.state.match("Consuming|HeartbeatCheck")`)
	if err := broker.Publish("orders", "one", "two"); err != nil {
		t.Fatal(err)
	}
	p.await("what was handled", `document.querySelector("#rows .counts").textContent.replace("\u00a0", " ") === "2 handled"`)

	// When the page shows something is measured in the page.
	p.eval(`(() => { window.seen = {}; const look = () => {
		const at = Date.now(), line = document.querySelector("#headline").textContent, state = document.querySelector("#graph .now")?.dataset.state;
		if (line.includes("broker away")) window.seen.away ??= at;
		if (state === "Reviving") window.seen.state ??= at;
		if (document.querySelector("#events [data-name=ConnectionError]")) window.seen.event ??= at;
	}; new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true }); })()`)
	broker.RefuseConnections()
	began := time.Now()
	<-broker.Inject(brokertest.Now(), brokertest.Reset()).Played
	p.await("the loss", `window.seen.away && window.seen.state && window.seen.event`)
	for _, what := range []string{"away", "state", "event"} {
		took := time.UnixMilli(int64(p.eval("window.seen." + what).(float64))).Sub(began)
		t.Logf("%s was shown after %v", what, took.Round(time.Millisecond))
		if took > 20*time.Second { // a second, where nothing else is at work
			t.Errorf("%s was shown after %v", what, took)
		}
	}
	p.await("an outage on the time line", `document.querySelectorAll("#track button").length === 1`)
	if err := broker.AcceptConnections(); err != nil {
		t.Fatal(err)
	}
	p.await("word that it consumes again", `document.querySelector("#headline").textContent === "orders: it is consumed"`)
	p.await("its end", `document.querySelector("#track button").ariaLabel.includes(" for ")`)
	p.isQuiet()
}
