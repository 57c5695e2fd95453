package revival

import (
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	s := Schedule{Backoff: Backoff{Initial: time.Hour, Max: 4 * time.Hour}}
	if d := s.Start(Stable, false); d != 0 || !s.Due() {
		t.Errorf("the first attempt after a stable time is delayed by %v", d)
	}
	if d := s.Start(0, false); d != 0 {
		t.Errorf("the first attempt after a single short time is delayed by %v", d)
	}
	if s.Start(0, false); s.failures != 1 || s.Due() {
		t.Errorf("what flaps is revived at once: %d failures", s.failures)
	}
	s.Failed()
	if s.Extend(0, false); s.Due() {
		t.Error("a flapping one hurries the attempt")
	}
	if s.Extend(Stable, false); !s.Due() {
		t.Error("the loss of what had worked waits for the rest")
	}
	if d := s.Start(Stable, false); d != 0 || s.failures != 0 {
		t.Error("a stable time did not reset the failures")
	}
	for range 10 {
		s.Failed()
	}
	if d := s.Start(0, false); d != 0 {
		t.Errorf("the first loss after a long outage waits %v, as if the outage went on", d)
	}
	most := time.Duration(0)
	for range 100 {
		s.Start(Stable, true)
		s.Extend(Stable, false)
		s.Extend(Stable, true)
		most = max(most, s.Remaining())
	}
	if most > 4*time.Hour || most < 3*time.Hour {
		t.Errorf("of 100 consumers whose broker has gone away the last begins after %v", most)
	}
	if d := s.Start(Stable, false); d != 0 {
		t.Errorf("the broker came back, and a single loss waits %v", d)
	}
	for attempt, want := range map[int]time.Duration{0: 5, 1: 5, 2: 10, 6: 30, 7: 30, 1000: 30} {
		s.Attempt = attempt
		if got := s.ConnectTimeout(5 * time.Second); got != want*time.Second {
			t.Errorf("attempt %d may take %v, want %v s", attempt, got, want)
		}
	}
	s.Attempt = 3
	if got := s.ConnectTimeout(time.Minute); got != time.Minute {
		t.Errorf("a long ConnectTimeout became %v", got)
	}
}

// What is tried rarely has a longer bound, until it has worked for long.
func TestScheduleRare(t *testing.T) {
	s := Schedule{Backoff: Backoff{Initial: time.Second, Max: time.Second}, Rare: time.Hour}
	longest := func() (most time.Duration) {
		for range 100 {
			most = max(most, s.Failed())
		}
		return most
	}
	s.Start(0, false)
	if most := longest(); most < time.Minute {
		t.Errorf("100 attempts are at most %v apart, as if they were not rare", most)
	}
	s.Start(Stable, false)
	if most := longest(); most > time.Second {
		t.Errorf("an attempt is delayed by %v, as if they were still rare", most)
	}
	if s.Hurry(); !s.Due() {
		t.Errorf("there is no hurry: %v remain", s.Remaining())
	}
}
