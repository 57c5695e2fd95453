package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/broker/brokertest"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// here is `everhop publish` in this process and in synthetic time, with a broker that is here, too.
type here struct {
	*testing.T
	server     *brokertest.Server
	soft, hard func() // what the first and the second signal do
	ended      chan error
	said       transcript
}

// publishHere plays while it publishes.
func publishHere(t *testing.T, input func(h *here) io.Reader, play func(h *here), args ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &here{T: t, server: brokertest.NewInMemoryServer(t), ended: make(chan error, 1)}
		if err := h.server.DeclareQueue("q", nil); err != nil {
			t.Fatal(err)
		}
		f := newPublication()
		if !slices.Contains(args, "--input") {
			args = append(args, "--queue", "q")
		}
		if err := f.command().ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		soft, endSoft := context.WithCancelCause(context.Background())
		hard, endHard := context.WithCancelCause(context.Background())
		h.soft = func() { endSoft(errors.New("interrupt")) }
		h.hard = func() { endHard(errors.New("interrupt")) }
		defer h.hard()
		defer h.soft()
		screen := newProgress(term.To(&h.said))
		config := f.config([]string{h.server.URL()}, f.log.logger(term.To(screen)))
		config.Dial = h.server.Dial
		stdin := input(h)
		if open, ok := stdin.(io.Closer); ok {
			defer open.Close()
		}
		go func() {
			confirmed, err := publishInput(soft, hard, config, f.source("guest", stdin), &pace{every: f.every}, screen)
			if err == nil {
				fmt.Fprintln(screen, messagesConfirmed(uint64(confirmed)))
			}
			h.ended <- err
		}()
		play(h)
	})
}

// wait expects the end within a time, with an error that has these words, or with "" without one.
func (h *here) wait(within time.Duration, words string) string {
	h.Helper()
	select {
	case err := <-h.ended:
		if (err == nil) != (words == "") || !strings.Contains(errorText(err), words) {
			h.Errorf("ended with %v, want %q", err, words)
		}
		return errorText(err)
	case <-time.After(within):
		h.Fatalf("it goes on after %v; it said\n%s", within, &h.said)
	}
	return ""
}

// holds expects the numbers up to n in the queue, the first of each in order.
func (h *here) holds(n int) (twice int) {
	h.Helper()
	next := 1
	for _, m := range h.server.Messages("q") {
		switch number, _ := strconv.Atoi(string(m.Body)); {
		case number == next:
			next++
		case number > next:
			h.Fatalf("%d comes after %d", number, next-1)
		default:
			twice++
		}
	}
	if next != n+1 {
		h.Errorf("the queue holds %d, want %d", next-1, n)
	}
	return twice
}

// alarm begins before a message of which nothing is under way yet. Nothing else should be until the broker has told of the
// alarm: a write that is held up would keep a lock of amqp091-go's, which holds up synthetic time.
func (h *here) alarm(reason string) {
	time.Sleep(time.Second)
	h.server.Alarm(reason)
}

// numbered are lines whose writer can be stopped at some of them.
func numbered(n int, at func(number int)) io.Reader {
	read, write := io.Pipe()
	go func() {
		for i := range n {
			if at != nil {
				at(i + 1)
			}
			if _, err := fmt.Fprintln(write, i+1); err != nil {
				return
			}
		}
		write.Close()
	}()
	return read
}

// Nothing is lost by cuts, and the order stays.
func TestPublishThroughCuts(t *testing.T) {
	const lines, every = 10_000, 500
	cuts := 0
	publishHere(t, func(h *here) io.Reader {
		return numbered(lines, func(number int) {
			if number%every == every/2 {
				h.server.Inject(brokertest.Now(), brokertest.Reset())
				cuts++
			}
		})
	}, func(h *here) {
		h.wait(time.Minute, "")
		twice := h.holds(lines)
		if cuts != lines/every || !strings.Contains(h.said.String(), `"trigger":"ConnectionError"`) || !strings.HasSuffix(h.said.String(), "\n10000 messages confirmed\n") {
			h.Errorf("%d cuts; it said\n%s", cuts, &h.said)
		}
		t.Logf("%d are there twice", twice)
	})
}

// A broker that is not there at first, takes nothing for a while, and goes away for an hour, is waited for.
func TestPublishWaits(t *testing.T) {
	const lines = 3000
	publishHere(t, func(h *here) io.Reader {
		h.server.RefuseConnections()
		return numbered(lines, func(number int) {
			switch number {
			case 1000:
				h.alarm("low on disk")
			case 1001:
				time.Sleep(time.Second)
			case 2000:
				h.server.StopApp()
			}
		})
	}, func(h *here) {
		pause := func(fires ...string) {
			h.Helper()
			time.Sleep(time.Hour)
			synctest.Wait()
			if len(h.ended) > 0 {
				h.Fatal("it has ended")
			}
			for _, trigger := range fires {
				if !strings.Contains(h.said.String(), `"trigger":"`+trigger+`"`) {
					h.Errorf("no word of %s:\n%s", trigger, &h.said)
				}
			}
		}
		pause("ConnectionError", "ReviveFailed")
		if err := h.server.AcceptConnections(); err != nil {
			h.Fatal(err)
		}
		pause("ConnectionBlocked")
		h.server.ClearAlarm()
		pause()
		if err := h.server.StartApp(); err != nil {
			h.Fatal(err)
		}
		h.wait(time.Minute, "")
		h.holds(lines)
	})
}

// What waiting does not heal ends it at the first connect, before anything is read; and so does the limit that was set.
func TestPublishGivesUp(t *testing.T) {
	t.Run("login refused", func(t *testing.T) {
		publishHere(t, func(h *here) io.Reader {
			h.server.SetPassword("guest", "another")
			return neverRead{h}
		}, func(h *here) {
			h.wait(time.Minute, "check user name, password and permissions (rabbitmqctl authenticate_user, list_permissions); 0 messages confirmed, line 1 is the first that is not")
		})
	})
	t.Run("attempts", func(t *testing.T) {
		publishHere(t, func(h *here) io.Reader {
			h.server.RefuseConnections()
			return neverRead{h}
		}, func(h *here) {
			h.wait(time.Minute, "check that the broker runs and that host and port are right; 0 messages confirmed")
		}, "--max-revive-attempts", "3")
	})
}

type neverRead struct{ *here }

func (r neverRead) Read([]byte) (int, error) {
	r.Error("it has read")
	return 0, io.EOF
}

// A message that the broker refuses is named by its own line, and what is behind it is told.
func TestPublishNamesTheLine(t *testing.T) {
	const records = 600
	publishHere(t, func(*here) io.Reader {
		var all strings.Builder
		for i := range records {
			exchange := ""
			if i+1 == 300 {
				exchange = `,"exchange":"none"`
			}
			fmt.Fprintf(&all, `{"body":"%d","routing_key":"q"%s}`+"\n", i+1, exchange)
		}
		return strings.NewReader(all.String())
	}, func(h *here) {
		said := h.wait(time.Minute, "line 300: ")
		var confirmed, behind int
		_, rest, _ := strings.Cut(said, "or declare it first; ")
		if _, err := fmt.Sscanf(rest, "%d messages confirmed, line 300 is the first that is not (--from-line 300 goes on there); %d behind it are confirmed, too", &confirmed, &behind); err != nil {
			h.Fatal(said, err)
		}
		if stored := len(h.server.Messages("q")); confirmed != 299+behind || behind == 0 || stored < confirmed || stored > records {
			h.Errorf("%d are there\n%s", stored, said)
		}
		if !strings.Contains(said, "no exchange 'none'") {
			h.Errorf("it is not the line's own error: %s", said)
		}
	}, "--input", "jsonl")
}

// The first signal under an alarm: what can be confirmed in the grace period is waited for.
func TestPublishStoppedUnderAlarm(t *testing.T) {
	blocked := func(h *here) io.Reader {
		return numbered(5000, func(number int) {
			switch number {
			case 100:
				h.alarm("")
			case 101:
				time.Sleep(time.Second)
			}
		})
	}
	const where = "99 messages confirmed, line 100 is the first that is not (--from-line 100 goes on there)"
	for _, tt := range []struct {
		name    string
		stop    func(h *here)
		atLeast time.Duration
		want    []string
	}{
		{"grace", func(h *here) { h.soft() }, 5 * time.Second, []string{
			"stopped before the end of the input: interrupt; the broker takes no messages since ", where,
		}},
		{"second signal", func(h *here) { h.soft(); time.Sleep(time.Second); h.hard() }, 0, []string{"stopped before the end of the input: interrupt", where}},
		{"it ends in time", func(h *here) { h.soft(); time.Sleep(time.Second); h.server.ClearAlarm() }, 0, []string{"stopped before the end of the input: interrupt; "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			publishHere(t, blocked, func(h *here) {
				time.Sleep(10 * time.Second)
				begun := time.Now()
				tt.stop(h)
				said := h.wait(10*time.Second, tt.want[0])
				for _, want := range tt.want[1:] {
					if !strings.Contains(said, want) {
						h.Errorf("no %q in %q", want, said)
					}
				}
				if took := time.Since(begun); took < tt.atLeast || tt.atLeast == 0 && took > 3*time.Second {
					h.Errorf("it took %v", took)
				}
				var confirmed, line int
				at := strings.LastIndex(said, "; ")
				if tt.name != "it ends in time" {
					return
				}
				if _, err := fmt.Sscanf(said[at+2:], "%d messages confirmed, line %d is", &confirmed, &line); err != nil || confirmed < 100 || line != confirmed+1 {
					h.Error(said, err)
				}
				h.holds(confirmed)
			}, "--grace", "5s")
		})
	}
}

// What was sent, and is not confirmed when it ends, is counted: it may be in the queue.
func TestPublishUnknown(t *testing.T) {
	publishHere(t, func(h *here) io.Reader {
		h.server.Inject(brokertest.OnMethod("basic.publish", 1), brokertest.Freeze(brokertest.ToClient))
		h.server.Inject(brokertest.OnMethod("basic.publish", 1), brokertest.RefuseConnections())
		return numbered(2, nil)
	}, func(h *here) {
		time.Sleep(time.Hour)
		h.soft()
		h.wait(6*time.Second, "stopped before all was confirmed: interrupt; 0 messages confirmed, line 1 is the first that is not; "+
			"from there on up to 2 may be in the queue all the same: they were sent, and not confirmed")
	}, "--grace", "5s")
}

// What is behind a message that has failed is not waited for as long as the grace period.
func TestPublishRest(t *testing.T) {
	publishHere(t, func(h *here) io.Reader {
		read, write := io.Pipe()
		go func() {
			time.Sleep(time.Second)
			h.server.Inject(brokertest.Now(), brokertest.Block("")) // so that all are accepted before the first one fails
			time.Sleep(time.Second)
			fmt.Fprintf(write, `{"body":"1","routing_key":"q","headers":{"h":"%s"}}`+"\n"+`{"body":"2","routing_key":"q"}`+"\n", strings.Repeat("x", 140_000))
		}()
		return read
	}, func(h *here) {
		time.Sleep(10 * time.Second)
		h.server.Inject(brokertest.OnMethod("basic.publish", 1), brokertest.Freeze(brokertest.ToClient))
		h.server.Inject(brokertest.OnMethod("basic.publish", 1), brokertest.RefuseConnections())
		h.server.Inject(brokertest.Now(), brokertest.Unblock())
		h.wait(restTime+2*time.Second, "or raise frame_max at the broker; 0 messages confirmed, line 1 is the first that is not; from there on up to 1 may be in the queue")
	}, "--input", "jsonl", "--grace", "24h")
}

// A message that the broker cannot read ends each connection. It is found, named, and not sent for ever.
func TestPublishDeadly(t *testing.T) {
	publishHere(t, func(*here) io.Reader {
		return strings.NewReader(`{"body":"a","routing_key":"q"}
{"body":"b","routing_key":"q","headers":{"n":"NaN"},"header_types":{"n":"float64"}}
{"body":"c","routing_key":"q"}
`)
	}, func(h *here) {
		said := h.wait(time.Minute, "line 2 is the first that is not")
		if !strings.Contains(said, "INTERNAL_ERROR") || !strings.Contains(said, "that the broker cannot read: NaN, Infinity; 2 messages confirmed") {
			h.Error(said)
		}
	}, "--input", "jsonl")
}

// After an outage, --rate has no more than the messages of a second go out at once.
func TestPublishRateAfterOutage(t *testing.T) {
	publishHere(t, func(h *here) io.Reader {
		return numbered(300, func(number int) {
			if number == 100 {
				h.server.StopApp()
			}
		})
	}, func(h *here) {
		time.Sleep(time.Hour)
		if err := h.server.StartApp(); err != nil {
			h.Fatal(err)
		}
		begun := time.Now()
		h.wait(time.Hour, "")
		h.holds(300)
		if took := time.Since(begun); took < 18*time.Second {
			h.Errorf("200 messages in %v", took)
		}
	}, "--rate", "10/s")
}
