package standstill

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLook(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		wall, mono time.Duration // since the last look, when 2 s were to pass
		want       Seen
	}{
		"on time":                   {2 * s, 2 * s, Seen{0, 0}},
		"woken early":               {s / 2, s / 2, Seen{0, 0}},
		"a busy machine":            {2*s + 900*time.Millisecond, 2*s + 900*time.Millisecond, Seen{0, 0}},
		"stopped (SIGSTOP)":         {50 * s, 50 * s, Seen{48 * s, 0}},
		"suspended":                 {3600 * s, 2 * s, Seen{0, 3598 * s}},
		"suspended, woken late too": {3610 * s, 12 * s, Seen{10 * s, 3598 * s}},
		"clock set ahead":           {62 * s, 2 * s, Seen{0, 60 * s}},
		"clock set back":            {-58 * s, 2 * s, Seen{0, -60 * s}},
		"clock slewed":              {2*s + time.Millisecond, 2 * s, Seen{0, 0}},
		"stopped, clock set back":   {-10 * s, 50 * s, Seen{48 * s, -60 * s}},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Unix(1_800_000_000, 0)
			clock := Clock{due: 2 * s, wall: start}
			if seen := clock.look(start.Add(c.wall), c.mono); seen != c.want {
				t.Errorf("%+v, want %+v", seen, c.want)
			}
			if seen := clock.look(start.Add(c.wall+s/2), c.mono+s/2); seen != (Seen{}) {
				t.Errorf("told again: %+v", seen)
			}
		})
	}
}

// What the goroutine does itself is no standstill, however long that takes.
func TestExcuse(t *testing.T) {
	for name, excuse := range map[string]func(*Clock){
		"Excuse": (*Clock).Excuse,
		"WakeIn": func(c *Clock) { c.WakeIn(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := NewClock(nil)
				defer clock.Stop()
				time.Sleep(time.Minute)
				excuse(clock)
				time.Sleep(time.Second / 2)
				if seen := clock.Look(); seen != (Seen{}) {
					t.Errorf("%+v", seen)
				}
				time.Sleep(time.Minute)
				if seen := clock.Look(); seen.Late < 50*time.Second {
					t.Errorf("what came after it is a standstill: %+v", seen)
				}
			})
		})
	}
}

// Whoever waits is woken when it is time, and within 5 s in any case: also before it was told of a time.
func TestWakeIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := NewClock(nil)
		defer clock.Stop()
		wait := func(want time.Duration) {
			t.Helper()
			began := time.Now()
			<-clock.C()
			if took := time.Since(began); took != want {
				t.Errorf("woken after %v, want %v", took, want)
			}
			if seen := clock.Look(); seen != (Seen{}) {
				t.Errorf("%+v", seen)
			}
		}
		wait(5 * time.Second)
		for d, want := range map[time.Duration]time.Duration{-time.Hour: 0, 0: 0, time.Second: time.Second, time.Hour: 5 * time.Second} {
			clock.WakeIn(d)
			wait(want)
		}
		clock.WakeIn(0) // and it is time, but nobody has looked
		time.Sleep(time.Second / 2)
		clock.WakeIn(time.Second)
		wait(time.Second)
	})
}

func TestNotes(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		seen    Seen
		longest time.Duration
		want    []Note
	}{
		"nothing":   {Seen{}, 0, nil},
		"stopped":   {Seen{Late: 48*s + 123*time.Millisecond}, 48*s + 123*time.Millisecond, []Note{{48*s + 123*time.Millisecond, "the process stood still for 48.1s: it was stopped, or the machine was too busy"}}},
		"suspended": {Seen{Ahead: time.Hour}, time.Hour, []Note{{time.Hour, "the clock went ahead by 1h0m0s: the machine was suspended, or the clock was set"}}},
		"set back":  {Seen{Ahead: -2 * s}, 0, []Note{{0, "the clock was set back by 2s"}}},
		"both": {Seen{2 * s, -time.Hour}, 2 * s, []Note{
			{2 * s, "the process stood still for 2s: it was stopped, or the machine was too busy"}, {0, "the clock was set back by 1h0m0s"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.seen.Notes()
			if longest := c.seen.Longest(); longest != c.longest || len(got) != len(c.want) {
				t.Fatalf("%v, %q, want %v, %q", longest, got, c.longest, c.want)
			}
			for i, note := range got {
				if note != c.want[i] {
					t.Errorf("%q, want %q", note, c.want[i])
				}
			}
		})
	}
}
