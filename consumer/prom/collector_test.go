package prom

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"gotest.tools/v3/golden"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/publish"
)

// versions differ from build to build.
var versions = regexp.MustCompile(`(?m)^everhop_build_info\{.*$`)

func TestExposition(t *testing.T) {
	var text bytes.Buffer
	for _, family := range gather(t, collectorOf(t, busy(2), 0)) {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	golden.Assert(t, versions.ReplaceAllString(text.String(), `everhop_build_info{go_version="go1",version="v1"} 1`), "metrics.txt")
}

// Gather tells what a registry tells, with native histograms and all.
func TestGather(t *testing.T) {
	c := collectorOf(t, busy(3), 0)
	own, err := c.Gather()
	if err != nil {
		t.Fatal(err)
	}
	registry := gather(t, c)
	if len(own) != len(registry) {
		t.Fatalf("%d families, and a registry has %d", len(own), len(registry))
	}
	for i, want := range registry {
		got := own[i]
		if got.GetName() != want.GetName() || got.GetHelp() != want.GetHelp() || got.GetType() != want.GetType() {
			t.Errorf("%s is %v, want %v", want.GetName(), got, want)
		}
		lines := func(f *dto.MetricFamily) (lines []string) {
			for _, m := range f.Metric {
				lines = append(lines, m.String())
			}
			slices.Sort(lines)
			return lines
		}
		if !slices.Equal(lines(got), lines(want)) {
			t.Errorf("%s is %v, want %v", want.GetName(), got, want)
		}
		for _, m := range got.Metric {
			isNative := want.GetName() == "everhop_handler_duration_seconds"
			if h := m.Histogram; isNative && (h.Schema == nil || len(h.PositiveSpan) == 0 || len(h.Bucket) == 0) {
				t.Errorf("it is not both native and classic: %v", h)
			}
		}
	}
}

func TestConventions(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectorOf(t, busy(2), 0))
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families := gather(t, collectorOf(t, busy(2), 0))
	if len(families) != len(all) {
		t.Errorf("%d metrics are described, and %d are shown", len(all), len(families))
	}
}

func TestSubscriptionsOfOneQueueAreSummed(t *testing.T) {
	f := busy(3)
	f.subs[2].Queue = "orders-0"
	f.subs[2].Doing, f.subs[2].OldestInFlight = consumer.DoingPause, noon.Add(-time.Minute)
	families := gather(t, collectorOf(t, f, 0))
	for _, want := range []struct {
		name  string
		value float64
		pairs []string
	}{
		{"everhop_deliveries_total", 2000, []string{"outcome", "acknowledged"}},
		{"everhop_deliveries_in_flight", 6, nil},
		{"everhop_oldest_in_flight_seconds", 60, nil},
		{"everhop_last_settled_timestamp_seconds", float64(noon.Unix()) - 1.5, nil},
		{"everhop_subscriptions", 1, []string{"doing", "consuming"}},
		{"everhop_subscriptions", 1, []string{"doing", "paused"}},
	} {
		if got := valueOf(t, families, want.name, append(want.pairs, "queue", "orders-0")...); got != want.value {
			t.Errorf("%s %q: %v, not %v", want.name, want.pairs, got, want.value)
		}
	}
	for _, family := range families {
		if family.GetName() == "everhop_handler_duration_seconds" {
			for _, m := range family.Metric {
				h := m.GetHistogram()
				if h.GetSampleCount() == 2*1012 && h.GetSampleSum() == 180 && h.Bucket[1].GetCumulativeCount() == 20 {
					return
				}
			}
			t.Errorf("no sum of two histograms: %v", family)
		}
	}
}

func TestQueuesAreBounded(t *testing.T) {
	f := busy(100)
	f.subs[50].Queue, f.subs[60].Queue = "", "" // the broker names them
	f.subs[50].Named, f.subs[60].Named = "amq.gen-1", "amq.gen-2"
	f.subs[70].Queue = "orders-1" // which has its name
	families := gather(t, collectorOf(t, f, 10))
	for queue, want := range map[string]float64{"orders-9": 1000, "orders-1": 2000, Other: 87 * 1000, Temporary: 2000} {
		if got := valueOf(t, families, "everhop_deliveries_total", "queue", queue, "outcome", "acknowledged"); got != want {
			t.Errorf("%s: %v acknowledged, not %v", queue, got, want)
		}
	}
	for _, family := range families {
		if family.GetName() == "everhop_prefetch" && len(family.Metric) != 12 {
			t.Errorf("%d values of the label queue, not 12", len(family.Metric))
		}
		for _, m := range family.Metric {
			for _, l := range m.Label {
				if strings.HasPrefix(l.GetValue(), "amq.gen") {
					t.Errorf("%s has the label %s", family.GetName(), l)
				}
			}
		}
	}
}

func TestEachConsumerNeedsAName(t *testing.T) {
	c := collectorOf(t, busy(1), 0)
	err := c.add(busy(1))
	if err == nil || !strings.Contains(err.Error(), `"shop"`) {
		t.Errorf("two consumers of one name: %v", err)
	}
	other := busy(1)
	other.status.Name = "other"
	if err := c.add(other); err != nil {
		t.Error(err)
	}
	gather(t, c)
}

// A consumer's own publisher is shown once, whoever has added it.
func TestOwnPublisher(t *testing.T) {
	f := busy(1)
	c := collectorOf(t, f, 0)
	gather(t, c)
	f.publisher = publish.Status{Name: "shop (publishing)", Time: noon, State: publish.Publishing, Stats: publish.Stats{Confirmed: 42}}
	if n := valueOf(t, gather(t, c), "everhop_published_total", "publisher", "shop (publishing)", "outcome", "confirmed"); n != 42 {
		t.Errorf("%v confirmed, not 42", n)
	}
	if err := c.addPublisher(fakePublisher(f.publisher)); err != nil {
		t.Fatal(err)
	}
	gather(t, c)
	if c.addPublisher(fakePublisher(f.publisher)) == nil {
		t.Error("two publishers of one name")
	}
}

func TestOddNames(t *testing.T) {
	f := busy(1)
	f.status.Name, f.subs[0].Queue = "sh\xffop", "\xfe\"\n"
	gather(t, collectorOf(t, f, 0))
}
