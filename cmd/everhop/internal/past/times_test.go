package past

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/consumer"
)

func TestTimePoints(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	end := time.Date(2026, 11, 22, 3, 14, 30, 0, zone)
	day := func(d, h, m, s int) time.Time { return time.Date(2026, 11, d, h, m, s, 0, zone) }
	tests := []struct {
		text string
		want time.Time
	}{
		{"2026-11-22T03:14:00Z", time.Date(2026, 11, 22, 3, 14, 0, 0, time.UTC)},
		{"2026-11-22T03:14:00.25+02:00", time.Date(2026, 11, 22, 1, 14, 0, 250e6, time.UTC)},
		{"2026-11-21 23:59", day(21, 23, 59, 0)},
		{"2026-11-21 23:59:58", day(21, 23, 59, 58)},
		{"2026-11-21T23:59:58", day(21, 23, 59, 58)},
		{"03:14", day(22, 3, 14, 0)},
		{"03:14:30", day(22, 3, 14, 30)},
		{"03:14:31", day(21, 3, 14, 31)},
		{"22:00", day(21, 22, 0, 0)},
		{"2h", day(22, 1, 14, 30)},
		{"0s", end},
	}
	for _, tt := range tests {
		p, ok := ParseTime(tt.text)
		if got := p.in(end, zone); !ok || !got.Equal(tt.want) {
			t.Errorf("%s: %v, %v, want %v", tt.text, ok, got, tt.want)
		}
	}
	for _, text := range []string{"", "noon", "-2h", "24:00", "2026-11-22", "3", "2026-13-01 00:00"} {
		if p, ok := ParseTime(text); ok {
			t.Errorf("%q: %v", text, p)
		}
	}
}

// Which day a time of day is of depends on the log, on now, and on the other times.
func TestTimesOfDay(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin") // one day has 02:30 twice, 2026-10-25, and one has none, 2026-03-29
	if err != nil {
		t.Fatal(err)
	}
	moment := func(text string) time.Time {
		m, err := time.Parse("2006-01-02 15:04:05 -0700", text)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	log := func(begin, end, now string) extent { return extent{moment(begin), moment(end), moment(now)} }
	minutes := log("2026-11-22 03:00:10 +0100", "2026-11-22 03:05:00 +0100", "2026-11-24 12:00:00 +0100")
	night := log("2026-11-21 22:00:00 +0100", "2026-11-22 05:59:42 +0100", "2026-11-22 05:59:55 +0100")
	month := log("2026-10-22 22:00:00 +0200", "2026-11-22 05:59:42 +0100", "2026-11-22 05:59:55 +0100")
	evening, later := month, night // the same logs read later
	evening.now, later.now = moment("2026-11-22 20:00:00 +0100"), moment("2026-12-01 12:00:00 +0100")
	ahead := log("2026-11-21 22:00:00 +0100", "2026-11-22 05:59:42 +0100", "2026-11-20 12:00:00 +0100")
	first := log("2026-10-24 22:00:00 +0200", "2026-10-25 02:40:00 +0200", "2026-11-01 12:00:00 +0100")
	second := log("2026-10-24 22:00:00 +0200", "2026-10-25 02:40:00 +0100", "2026-11-01 12:00:00 +0100")
	winter := log("2026-10-24 22:00:00 +0200", "2026-10-25 06:00:00 +0100", "2026-11-01 12:00:00 +0100")
	spring := log("2026-03-28 22:00:00 +0100", "2026-03-29 06:00:00 +0200", "2026-04-01 12:00:00 +0200")
	tests := []struct {
		name             string
		log              extent
		at, since, until string
		want, wantUntil  string
	}{
		{"since: the latest", night, "", "22:00", "", "2026-11-21 22:00:00 +0100", ""},
		{"since: on the end's day", night, "", "05:00", "", "2026-11-22 05:00:00 +0100", ""},
		{"since: the end", night, "", "05:59:42", "", "2026-11-22 05:59:42 +0100", ""},
		{"since: not behind the end", evening, "", "06:00", "", "2026-11-21 06:00:00 +0100", ""},
		{"over midnight", night, "", "22:00", "06:00", "2026-11-21 22:00:00 +0100", "2026-11-22 06:00:00 +0100"},
		{"over midnight, of a month", month, "", "22:00", "05:00", "2026-11-21 22:00:00 +0100", "2026-11-22 05:00:00 +0100"},
		{"within a minute", minutes, "", "03:03", "03:04", "2026-11-22 03:03:00 +0100", "2026-11-22 03:04:00 +0100"},
		{"no time at all", minutes, "", "03:03", "03:03", "2026-11-22 03:03:00 +0100", "2026-11-22 03:03:00 +0100"},
		{"from a date", month, "", "2026-11-01 22:00", "06:00", "2026-11-01 22:00:00 +0100", "2026-11-02 06:00:00 +0100"},
		{"from a time in another zone", month, "", "2026-11-01T23:30:00Z", "00:15", "2026-11-01 23:30:00 +0000", "2026-11-03 00:15:00 +0100"},
		{"from a duration", night, "", "2h", "04:30", "2026-11-22 03:59:42 +0100", "2026-11-22 04:30:00 +0100"},
		{"a day of 25 hours", winter, "", "2026-10-24 03:30", "03:00", "2026-10-24 03:30:00 +0200", "2026-10-25 03:00:00 +0100"},
		{"a day of 23 hours", spring, "", "22:00", "06:00", "2026-03-28 22:00:00 +0100", "2026-03-29 06:00:00 +0200"},
		{"the second of two", winter, "", "02:30", "", "2026-10-25 02:30:00 +0100", ""},
		{"the first of two", first, "", "02:30", "", "2026-10-25 02:30:00 +0200", ""},
		{"until the first of two", winter, "", "22:00", "02:30", "2026-10-24 22:00:00 +0200", "2026-10-25 02:30:00 +0200"},
		{"until the second of two", winter, "", "2026-10-25T02:35:00+02:00", "02:30", "2026-10-25 02:35:00 +0200", "2026-10-25 02:30:00 +0100"},

		{"until: in a short log", minutes, "", "", "03:03", "", "2026-11-22 03:03:00 +0100"},
		{"until: behind a short log", minutes, "", "", "22:00", "", "2026-11-22 22:00:00 +0100"},
		{"until: before a short log", minutes, "", "", "02:00", "", "2026-11-22 02:00:00 +0100"},
		{"until: behind a night", night, "", "", "06:00", "", "2026-11-22 06:00:00 +0100"},
		{"until: long behind a night", later, "", "", "18:30", "", "2026-11-22 18:30:00 +0100"},
		{"until: in a night", night, "", "", "03:00", "", "2026-11-22 03:00:00 +0100"},
		{"until: in a night, before midnight", night, "", "", "23:00", "", "2026-11-21 23:00:00 +0100"},
		{"until: behind a month", month, "", "", "06:00", "", "2026-11-22 06:00:00 +0100"},
		{"until: in a month", month, "", "", "23:00", "", "2026-11-21 23:00:00 +0100"},
		{"until: earlier today", evening, "", "", "19:00", "", "2026-11-22 19:00:00 +0100"},
		{"until: before 02:30 comes again", first, "", "", "02:05", "", "2026-10-25 02:05:00 +0200"},

		{"at: in the log", night, "03:14", "", "", "2026-11-22 03:14:00 +0100", ""},
		{"at: in the log, before midnight", later, "23:00", "", "", "2026-11-21 23:00:00 +0100", ""},
		{"at: after a night", night, "05:59:50", "", "", "2026-11-22 05:59:50 +0100", ""},
		{"at: after a month", month, "05:59:50", "", "", "2026-11-22 05:59:50 +0100", ""},
		{"at: now", night, "05:59:55", "", "", "2026-11-22 05:59:55 +0100", ""},
		{"at: in the future", night, "05:59:56", "", "", "2026-11-21 05:59:56 +0100", ""},
		{"at: in the future, of a log ahead", ahead, "05:59:50", "", "", "2026-11-21 05:59:50 +0100", ""},
		{"at: earlier today", evening, "19:00", "", "", "2026-11-22 19:00:00 +0100", ""},
		{"at: later today", evening, "21:00", "", "", "2026-11-21 21:00:00 +0100", ""},
		{"at: after a night, read later", later, "06:10", "", "", "2026-11-22 06:10:00 +0100", ""},
		{"at: the second of two", second, "02:30", "", "", "2026-10-25 02:30:00 +0100", ""},
	}
	point := func(text string) TimePoint {
		p, ok := ParseTime(text)
		if !ok && text != "" {
			t.Fatal(text)
		}
		return p
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Replay{At: point(tt.at), Since: point(tt.since), Until: point(tt.until), Zone: zone}
			b := r.bounds(tt.log)
			got := b.since
			if tt.at != "" {
				got = b.at
			}
			for _, c := range []struct {
				got  time.Time
				want string
			}{{got, tt.want}, {b.until, tt.wantUntil}} {
				if c.want == "" && c.got.IsZero() {
					continue
				}
				if c.want == "" || !c.got.Equal(moment(c.want)) {
					t.Errorf("%v, want %s", c.got, c.want)
				}
			}
		})
	}
}

// When a time of day comes twice, which of them time.Date returns depends on the zone.
func TestTimesOfDayTwice(t *testing.T) {
	for name, want := range map[string]time.Time{
		"Europe/Berlin":    time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC),
		"America/New_York": time.Date(2026, 11, 1, 5, 30, 0, 0, time.UTC),
	} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		p, _ := ParseTime(want.In(zone).Format(time.TimeOnly))
		for _, want := range []time.Time{want, want.Add(time.Hour)} {
			until, since := p.in(want.Add(time.Minute), zone), p.from(want.Add(-time.Minute), zone)
			if !until.Equal(want) || !since.Equal(want) {
				t.Errorf("%s: %v and %v, want %v", name, until, since, want.In(zone))
			}
		}
	}
}

// Where the clock was set back a log neither begins with its earliest event nor ends with its latest.
func TestReplayExtent(t *testing.T) {
	p := setBackOnce(t)
	log, err := new(Replay).extent(t.Context(), Source{Path: p.File()})
	if err != nil || !log.begin.Equal(p.Events[4].Time) || !log.end.Equal(p.Events[3].Time) {
		t.Errorf("%v, %v, want %v and %v", log, err, p.Events[4].Time, p.Events[3].Time)
	}
}

// overnight was killed at 05:59:42, long ago.
func overnight(t *testing.T) *pasttest.Log {
	p := pasttest.New(t, "orders").Connect()
	p.Fire(7*time.Hour, consumer.ConnectionError, consumer.Evidence{Class: "network"})
	p.Fire(59*time.Minute+41*time.Second, consumer.Revived, consumer.Evidence{Attempt: 1})
	for i := range p.Events {
		p.Events[i].Time = p.Events[i].Time.AddDate(-3, 0, 0)
	}
	return p
}

func TestReplayTimesOfDay(t *testing.T) {
	killed, back := overnight(t).Journal(), setBackOnce(t).Journal()
	for _, tt := range []struct {
		name, path, args string
		want             []string
	}{
		{"a night, ended before until", killed, "--since 22:00 --until 06:00", []string{
			"time              2023-11-22 22:00:00 UTC to 2023-11-23 05:59:41 UTC", "Connected", "Revived #1",
		}},
		{"until the end", killed, "--until 06:00", []string{"Revived #1"}},
		{"a few seconds, ended before until", pasttest.Outage(t).Journal(), "--since 22:00 --until 22:01", []string{"Connected", "Stop"}},
		{"at, after the process died", killed, "--at 05:59:50", []string{
			"at                2023-11-23 05:59:50 UTC\n", "state             Consuming", "next event        none",
		}},
		{"at, where the clock was set back", back, "--at 12:05", []string{
			"at                2026-11-22 12:05:00 UTC\n", "next event        12:10:00.020",
		}},
		{"before the latest time, where the clock was set back", back, "--at 5m", []string{
			"at                2026-11-22 12:05:00 UTC\n", "next event        12:10:00.020",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told, err := tell(t, append([]string{tt.path}, strings.Fields(tt.args)...)...)
			for _, want := range tt.want {
				if !strings.Contains(told, want) || err != nil {
					t.Errorf("%v; no %q in\n%s", err, want, told)
				}
			}
		})
	}
}
