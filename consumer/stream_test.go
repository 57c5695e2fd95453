package consumer

import (
	"strings"
	"testing"
	"time"

	"github.com/everhop/everhop/broker"
)

func TestStreamOffsets(t *testing.T) {
	for _, test := range []struct {
		offset any
		want   string // what the problem says
	}{
		{nil, ""}, {"first", ""}, {"2h", ""}, {0, ""}, {int64(7), ""}, {time.Now(), ""},
		{"", "is no offset"}, {-1, "-1 is negative"}, {int64(-2), "-2 is negative"}, {1.5, "a float64 is no offset"},
	} {
		problem := (&Stream{Offset: test.offset}).problem()
		if (problem == "") != (test.want == "") || !strings.Contains(problem, test.want) {
			t.Errorf("%#v: %q, want %q", test.offset, problem, test.want)
		}
	}
}

// Only what is sure is said: a queue that exists is used, whatever it is.
func TestKindOfASubscription(t *testing.T) {
	ofType := func(queueType string, strict bool) *broker.QueueOptions {
		return &broker.QueueOptions{Durable: true, Strict: strict, Arguments: map[string]any{"x-queue-type": queueType}}
	}
	for name, test := range map[string]struct {
		s      Subscription
		want   int32
		offset any // that is asked for
	}{
		"nothing":             {Subscription{Queue: "q"}, kindUnknown, nil},
		"a stream":            {Subscription{Queue: "q", Stream: &Stream{}}, kindStream, "next"},
		"from an offset":      {Subscription{Queue: "q", Stream: &Stream{Offset: 7}}, kindStream, 7},
		"declared as one":     {Subscription{Queue: "q", Declare: ofType("stream", false)}, kindStream, "next"},
		"declared":            {Subscription{Queue: "q", Declare: &broker.QueueOptions{Durable: true}}, kindUnknown, nil},
		"declared strictly":   {Subscription{Queue: "q", Declare: &broker.QueueOptions{Durable: true, Strict: true}}, kindUnknown, nil},
		"of a type":           {Subscription{Queue: "q", Declare: ofType("quorum", false)}, kindUnknown, nil},
		"strictly of a type":  {Subscription{Queue: "q", Declare: ofType("quorum", true)}, kindQueue, nil},
		"named by the broker": {Subscription{Declare: &broker.QueueOptions{Exclusive: true}}, kindQueue, nil},
		"not durable":         {Subscription{Queue: "q", Declare: &broker.QueueOptions{Strict: true}}, kindQueue, nil},
	} {
		if got := test.s.kind(); got != test.want || test.s.consumeArguments()[streamOffset] != test.offset {
			t.Errorf("%s: kind %d, arguments %v", name, got, test.s.consumeArguments())
		}
	}
}

func TestQueueKind(t *testing.T) {
	for header, want := range map[string]bool{"x-delivery-count": true, "x-acquired-count": true, "x-death": false} {
		k := queueKind{}
		k.see(&Delivery{Headers: map[string]any{header: int64(1)}}) // which may be another queue's, copied
		first := k.name()
		k.see(&Delivery{Redelivered: true, Headers: map[string]any{header: int64(1)}})
		if got := k.name(); first != "" || (got == "quorum") != want {
			t.Errorf("%s: %q, then %q", header, first, got)
		}
	}

	stream, plain := &Delivery{Headers: map[string]any{"x-stream-offset": int64(1)}}, &Delivery{}
	for name, test := range map[string]struct {
		said       int32
		deliveries []*Delivery
		refused    bool
		want       bool
	}{
		"nothing known":                  {kindUnknown, nil, false, false},
		"recognised":                     {kindUnknown, []*Delivery{stream, stream}, false, true},
		"a queue":                        {kindUnknown, []*Delivery{plain, stream}, false, false},
		"a copy in a queue":              {kindUnknown, []*Delivery{stream, plain, stream}, false, false},
		"only copies, and refused":       {kindUnknown, []*Delivery{stream, stream}, true, false},
		"said":                           {kindStream, []*Delivery{plain}, true, true},
		"a copy in a queue of our own":   {kindQueue, []*Delivery{stream}, false, false},
		"only copies, refused, and more": {kindUnknown, []*Delivery{stream}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var k queueKind
			k.v.Store(test.said)
			for _, d := range test.deliveries {
				k.see(d)
			}
			if test.refused && k.doubt() == (test.said == kindStream) {
				t.Error("doubted what was said, or the other way round")
			}
			if test.refused {
				k.see(stream)
			}
			if k.isStream() != test.want {
				t.Errorf("isStream is %v", !test.want)
			}
		})
	}
}

// What only looks like a stream may be another queue: nothing is acknowledged there that it would lose.
func TestNothingIsLostOnALikelyStream(t *testing.T) {
	for _, test := range []struct {
		verdict verdict
		failed  bool
		said    bool
		want    verdict
	}{
		{rejected, false, true, passedOver},
		{rejected, true, true, parked},
		{rejected, false, false, parked},
		{rejected, true, false, parked},
		{delayed, false, false, again},
		{requeued, false, false, again},
		{putBack, true, false, again},
	} {
		if o := (outcome{verdict: test.verdict, failed: test.failed}).onStream(test.said, time.Second); o.verdict != test.want {
			t.Errorf("%+v: %s", test, o.verdict)
		}
	}
}
