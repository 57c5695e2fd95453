package past

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"gotest.tools/v3/golden"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/consumer/publish"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// A publisher's journal is told in a publisher's words, and its log as the journal.
func TestReplayPublisher(t *testing.T) {
	p := pasttest.Published(t)
	got, err := tell(t, p.Journal())
	if err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, got, "publisher.txt")
	if logged, err := tell(t, p.File()); logged != got || err != nil {
		t.Errorf("its log: %v\n%s", err, logged)
	}
	then, err := tell(t, p.Journal(), "--at", "2026-11-22T23:59:00Z")
	if err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, then, "publisher-at.txt")
}

// Where a message was to go is told by what it had: a fanout exchange needs no routing key.
func TestReasonTellsWhere(t *testing.T) {
	for _, tt := range []struct{ exchange, key, want string }{
		{"events", "user.created", "not_found (exchange events, routing key user.created)"},
		{"events", "", "not_found (exchange events)"},
		{"", "orders", "not_found (queue orders)"},
		{"", "", "not_found"},
	} {
		e := publish.Evidence{Exchange: tt.exchange, RoutingKey: tt.key, Class: string(broker.NotFound)}
		if got := reason(fsm.Event{Evidence: e.Event()}); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// In JSON, too, the words are those of what it does.
func TestReplayPublisherJSON(t *testing.T) {
	published, consumed := pasttest.Published(t).Journal(), pasttest.Outage(t).Journal()
	at := func(path, at string) map[string]any {
		t.Helper()
		text, err := tell(t, path, "--json", "--at", at)
		var members map[string]any
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			t.Fatal(err, text)
		}
		if err != nil {
			t.Fatal(err)
		}
		return members
	}
	for _, tt := range []struct {
		name, path, at     string
		member, not, value string
	}{
		{"publishing", published, "2026-11-22T22:30:00Z", "publishing_since", "consuming_since", "2026-11-22T22:00:00.02Z"},
		{"blocked", published, "2026-11-23T00:00:10Z", "publishing_since", "consuming_since", ""},
		{"before", published, "2026-11-22T21:00:00Z", "publishing_since", "consuming_since", ""},
		{"consuming", consumed, "2026-11-22T22:00:01Z", "consuming_since", "publishing_since", "2026-11-22T22:00:00.02Z"},
		{"before it consumed", consumed, "2026-11-22T21:00:00Z", "consuming_since", "publishing_since", ""},
	} {
		members := at(tt.path, tt.at)
		value, found := members[tt.member]
		text, _ := value.(string)
		if _, other := members[tt.not]; !found || other || text != tt.value {
			t.Errorf("%s: %v", tt.name, members)
		}
	}
	text, err := tell(t, published, "--json", "--summary")
	var summary jsonSummary
	if err := json.Unmarshal([]byte(text), &summary); err != nil {
		t.Fatal(err)
	}
	if err != nil || summary.InStateMS[publish.Blocked] != 50_000 || summary.UpMS != 3*3_600_000+2000 || summary.DownMS != 20+30+20_000+41_000+30_000 {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestVerifyPublisher(t *testing.T) {
	whole, err := verified(t, pasttest.Published(t).Journal())
	if err != nil || !strings.Contains(whole, "each is in the table of a publisher, and") || !strings.HasPrefix(whole, "checked           53 events") {
		t.Errorf("%v\n%s", err, whole)
	}
	for _, tt := range []struct {
		name   string
		change func(log []fsm.Event)
		want   string
	}{
		{"a trigger that is not permitted", func(log []fsm.Event) { log[3].Trigger = publish.ConnectionUnblocked },
			`FILE:5 (seq 4): trigger is "ConnectionUnblocked", expected one of: ConnectionBlocked, ConnectionError, HeartbeatFailed, ChannelError, Stop, ProcessRestarted`},
		{"a consumer's trigger", func(log []fsm.Event) { log[3].Trigger = consumer.DrainTimeout },
			`FILE:5 (seq 4): trigger is "DrainTimeout", expected one of: ConnectionBlocked, ConnectionError, HeartbeatFailed, ChannelError, Stop, ProcessRestarted`},
		{"a trigger that leads elsewhere", func(log []fsm.Event) { log[5].To = publish.Reviving }, `FILE:7 (seq 6): to is "Reviving", expected "Blocked"`},
		{"a consumer's state", func(log []fsm.Event) { log[2].To = consumer.Consuming }, `FILE:4 (seq 3): to is "Consuming", expected "Publishing"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := pasttest.Published(t)
			tt.change(p.Events)
			dir := p.Journal()
			_, err := verified(t, dir)
			if want := strings.ReplaceAll(tt.want, "FILE", pasttest.SegmentsOf(t, dir)[0]); errKind(err) != "failed" || said(err) != want {
				t.Errorf("%v, want\n%s", err, want)
			}
		})
	}
	dir := pasttest.Published(t).Journal()
	segment := pasttest.SegmentsOf(t, dir)[0]
	pasttest.Change(t, segment, `"ConnectionUnblocked"`, `"connectionUnblocked"`)
	if _, err := verified(t, dir); errKind(err) != "damaged" || !strings.HasPrefix(said(err), segment+":51 is damaged at byte ") {
		t.Errorf("damage: %v", err)
	}
	if told, err := tell(t, dir); errKind(err) != "damaged" || !strings.Contains(told, "published 2h of 2h 1m") {
		t.Errorf("what comes before it: %v\n%s", err, told)
	}
}

func TestReplayFollowPublisher(t *testing.T) {
	p, dir := pasttest.Published(t), t.TempDir()
	written, err := journal.Open(dir, journal.Options{SegmentBytes: 2000})
	if err != nil {
		t.Fatal(err)
	}
	defer written.Close()
	f := follow(t, dir)
	for _, e := range p.Events {
		if err := written.Append(e); err != nil {
			t.Fatal(err)
		}
		if e.Trigger == publish.ConnectionUnblocked {
			f.expect("ConnectionUnblocked Publishing")
		}
	}
	f.expect("Stop                Disconnected")
	f.interrupt()
	f.expect("published 3h of 3h 2m")
}

// A segment in the middle says itself whose it is, though no run begins in it.
func TestVerifyPublisherSegments(t *testing.T) {
	segments := pasttest.SegmentsOf(t, pasttest.Published(t).Segments(2000))
	if len(segments) < 4 {
		t.Fatal(len(segments), "segments")
	}
	for _, path := range segments {
		if told, err := verified(t, path); err != nil || !strings.Contains(told, "of a publisher") {
			t.Errorf("%s: %v\n%s", path, err, told)
		}
	}
}

// Which table is drawn follows from the log.
func TestHappenedToPublisher(t *testing.T) {
	p := pasttest.Published(t)
	consumed := pasttest.New(t, "orders").Connect().Idle(2)
	mixed := pasttest.Log{T: t, Events: slices.Concat(p.Events[:3], consumed.Events, p.Events[3:])}
	sent, orders := "sent", "orders"
	for _, tt := range []struct {
		name    string
		path    string
		machine *string
		want    *history.Lifecycle
	}{
		{"a journal", p.Journal(), nil, history.Publisher()},
		{"a log", p.File(), nil, history.Publisher()},
		{"one of two", mixed.File(), &sent, history.Publisher()},
		{"the other", mixed.File(), &orders, history.Consumer()},
	} {
		drawing, err := Happened(t.Context(), Source{Path: tt.path}, tt.machine)
		if err != nil || drawing.Of != tt.want {
			t.Errorf("%s: of a %v, %v", tt.name, drawing.Of, err)
			continue
		}
		var summary history.Summary
		for e, err := range (Source{Path: tt.path}).events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if tt.machine == nil || e.Machine == *tt.machine {
				summary.Apply(e)
			}
		}
		for _, state := range drawing.Of.Table.States() {
			if graph, replay := drawing.Happened.State(state).Time, summary.Report().InState[state]; graph != replay {
				t.Errorf("%s: %s for %v in the graph, and %v in replay", tt.name, state, graph, replay)
			}
		}
	}
}

// A service's log has both: a consumer, and the publisher to which its messages go. Each is told in its own words.
func TestReplayMixedLog(t *testing.T) {
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		server := brokertest.NewInMemoryServer(t)
		for _, queue := range []string{"orders", "invoices"} {
			if err := server.DeclareQueue(queue, nil); err != nil {
				t.Fatal(err)
			}
		}
		c, err := consumer.New(consumer.Config{
			URLs: []string{server.URL()}, Dial: server.Dial, Name: "shop",
			Logger: zerolog.New(zerolog.SyncWriter(&log)).Level(zerolog.InfoLevel).With().Timestamp().Str("service", "shop").Logger(),
			Subscriptions: []consumer.Subscription{{Queue: "orders",
				Handler: func(context.Context, *consumer.Delivery) error { return nil }}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(context.Background()) }()
		message := &broker.Message{RoutingKey: "invoices"}
		for range 2 {
			if err := c.Publisher().Publish(context.Background(), message); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Second)
			server.Inject(brokertest.Now(), brokertest.Reset()) // both connections
			time.Sleep(10 * time.Second)
		}
		server.Alarm("")
		if _, err := c.Publisher().Send(context.Background(), message); err != nil {
			t.Error(err)
		}
		time.Sleep(20 * time.Second)
		server.ClearAlarm()
		synctest.Wait()
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	path := pasttest.NewFile(t, "service.log", "starting up\n"+log.String())
	for _, tt := range []struct {
		machine   string
		want, not []string
	}{
		{"", []string{`Summary of shop\n`, `Summary of shop \(publishing\)\n`, `consumed 1m of`, `published 40\.0 s of 1m, down 20\.0 s`}, nil},
		{"shop", []string{`Summary of shop\n`, `consumed 1m of`, `outages +2, revived 2: 2 network`}, []string{"ublish", "Blocked"}},
		{"shop (publishing)", []string{`Summary of shop \(publishing\)\n`, `published 40\.0 s of 1m, down 20\.0 s`,
			`outages +3, revived 3: 2 network, 1 ConnectionBlocked`, `Blocked +20\.0 s +33\.3 %`}, []string{"onsum", "HeartbeatCheck"}},
	} {
		args := []string{path}
		if tt.machine != "" {
			args = append(args, "--machine", tt.machine)
		}
		told, err := tell(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if !regexp.MustCompile(want).MatchString(told) {
				t.Errorf("%q: no %s", tt.machine, want)
			}
		}
		for _, not := range tt.not {
			if strings.Contains(strings.ReplaceAll(told, "shop (publishing)", ""), not) {
				t.Errorf("%q: %s", tt.machine, not)
			}
		}
		if t.Failed() {
			t.Fatal(told)
		}
	}
}
