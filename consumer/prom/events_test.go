package prom

import (
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/fsm"
)

func outageOf(families []*dto.MetricFamily) *dto.Histogram {
	for _, f := range families {
		if f.GetName() == "everhop_consumer_outage_duration_seconds" {
			return f.Metric[0].GetHistogram()
		}
	}
	return nil
}

func TestTransitionsAreThereBeforeTheFirst(t *testing.T) {
	c := New(Config{})
	if err := c.add(busy(1)); err != nil {
		t.Fatal(err)
	}
	families := gather(t, c)
	if n := valueOf(t, families, "everhop_consumer_transitions_total", "trigger", "HeartbeatFailed"); n != 0 {
		t.Errorf("%v transitions of a consumer that has had none", n)
	}
	if n := valueOf(t, families, "everhop_consumer_notes_total", "name", consumer.NoteGivenUp); n != 0 {
		t.Errorf("%v notes of a consumer that has had none", n)
	}
}

func TestOutages(t *testing.T) {
	c := collectorOf(t, busy(1), 0) // it was down for two seconds
	families := gather(t, c)
	for trigger, want := range map[string]float64{"HeartbeatOK": 1, "ReviveFailed": 1, "Revived": 1, "HeartbeatFailed": 0} {
		if got := valueOf(t, families, "everhop_consumer_transitions_total", "trigger", trigger); got != want {
			t.Errorf("%v %s, not %v", got, trigger, want)
		}
	}
	if n := valueOf(t, families, "everhop_consumer_outages_total"); n != 1 {
		t.Errorf("%v outages", n)
	}
	if n := valueOf(t, families, "everhop_consumer_recoveries_total", "class", "network"); n != 1 {
		t.Errorf("%v recoveries", n)
	}
	h := outageOf(families)
	if h.GetSampleCount() != 1 || h.GetSampleSum() != 2 || h.Bucket[2].GetCumulativeCount() != 0 || h.Bucket[3].GetCumulativeCount() != 1 {
		t.Errorf("an outage of two seconds is shown as %v", h)
	}
}

// A process that stood still was down, and its outage counts once: alone, or with a loss that followed from it.
func TestStalls(t *testing.T) {
	now := noon
	c := New(Config{})
	if err := c.add(busy(1)); err != nil {
		t.Fatal(err)
	}
	m, err := fsm.New(consumer.Lifecycle(), fsm.Options{Name: "shop", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	step := func(after time.Duration, trigger fsm.Trigger) {
		t.Helper()
		now = now.Add(after)
		e, err := m.Fire(trigger, fsm.Evidence{})
		if err != nil {
			t.Fatal(err)
		}
		c.Observe(e)
	}
	step(0, consumer.Connect)
	step(time.Second, consumer.Connected)
	now = now.Add(time.Minute)
	e, err := m.Record(fsm.KindNote, consumer.NoteStalled, consumer.Evidence{StalledMS: 30_000}.Event())
	if err != nil {
		t.Fatal(err)
	}
	c.Observe(e)
	if n := valueOf(t, gather(t, c), "everhop_consumer_outages_total"); n != 1 {
		t.Errorf("%v outages after a stall", n)
	}
	if h := outageOf(gather(t, c)); h.GetSampleCount() != 0 {
		t.Errorf("it is over before it is known whether a loss is a part of it: %v", h)
	}
	step(10*time.Second, consumer.DrainTimeout)
	families := gather(t, c)
	if h := outageOf(families); h.GetSampleCount() != 1 || h.GetSampleSum() != 30 {
		t.Errorf("a stall of 30 s is shown as %v", h)
	}
	if n := valueOf(t, families, "everhop_consumer_notes_total", "name", consumer.NoteStalled); n != 1 {
		t.Errorf("%v notes of it", n)
	}
	step(time.Second, consumer.ConnectionError)
	step(time.Second, consumer.Revived)
	if h := outageOf(gather(t, c)); h.GetSampleCount() != 2 || h.GetSampleSum() != 31 {
		t.Errorf("a stall of 30 s and an outage of 1 s are shown as %v", h)
	}
}
