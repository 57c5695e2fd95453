package past

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/cmd/everhop/internal/past/pasttest"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer"
)

// turbulent has a timeline that is longer than what is written at once.
func turbulent(t testing.TB) *pasttest.Log {
	p := pasttest.New(t, "orders").Connect()
	for range 1000 {
		p.Fire(10*time.Second, consumer.ConnectionError, consumer.Evidence{Class: "network"}).Fire(time.Second, consumer.Revived, consumer.Evidence{Attempt: 1})
	}
	return p
}

// Once interrupted, it tells no more: neither the rest, nor a summary of what was not all.
func TestReplayInterrupted(t *testing.T) {
	p := turbulent(t)
	log := p.File()
	for _, tt := range []struct {
		name, stdin string
		args        []string
		whole       string // what the whole would have
	}{
		{"journal", "", []string{p.Journal()}, "Summary of orders"},
		{"log", "", []string{log}, "Summary of orders"},
		{"json", "", []string{log, "--json"}, `"entry":"summary"`},
		{"standard input that was read to its end", p.Lines(), []string{"-", "--since", "2h"}, "Summary of orders"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, _ := tellOf(t, strings.NewReader(tt.stdin), tt.args...)
			if !strings.Contains(all, tt.whole) {
				t.Fatalf("no %s in %s", tt.whole, all)
			}
			synctest.Test(t, func(t *testing.T) {
				ctx, interrupt := context.WithCancel(t.Context())
				reader, out := io.Pipe()
				failure := make(chan error, 1)
				go func() {
					failure <- ask(t, strings.NewReader(tt.stdin), tt.args...).Tell(ctx, term.To(out))
					out.Close()
				}()
				if _, err := reader.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				interrupt()
				synctest.Wait() // it waits for its reader
				rest, _ := io.ReadAll(reader)
				if err := <-failure; !errors.Is(err, ErrInterrupted) {
					t.Errorf("%v, want ErrInterrupted", err)
				}
				if text := string(rest); strings.Contains(text, tt.whole) || !strings.HasSuffix(text, "\n") || len(text) > len(all)*2/3 {
					t.Errorf("it went on: %d bytes of %d, the last of them\n%s", len(text), len(all), text[max(0, len(text)-1000):])
				}
			})
		})
	}
}

// A first pass, to find out when the log ends, can be interrupted too.
func TestReplayInterruptedBefore(t *testing.T) {
	p := pasttest.Outage(t)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if _, _, err := (Source{Path: "-", Stdin: strings.NewReader(p.Lines())}).spool(ctx); !errors.Is(err, ErrInterrupted) {
		t.Errorf("spooling: %v", err)
	}
	for _, path := range []string{p.Journal(), p.File()} {
		if end, err := new(Replay).extent(ctx, Source{Path: path}); !errors.Is(err, ErrInterrupted) {
			t.Errorf("%s: %v, %v", path, end, err)
		}
	}
	t.Run("standard input that is read to its end", func(t *testing.T) {
		t.Setenv("TMPDIR", t.TempDir())
		stdin, input := io.Pipe()
		f := startReplay(t, stdin, "-", "--since", "2h")
		defer input.Close()
		if _, err := io.WriteString(input, p.Lines()); err != nil {
			t.Fatal(err)
		}
		f.interrupt()
		told, _ := io.ReadAll(f.lines)
		<-f.done
		if !errors.Is(f.err, ErrInterrupted) || len(told) > 0 {
			t.Errorf("%v, %q", f.err, told)
		}
		if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
			t.Errorf("it left %v, %v", left, err)
		}
	})
}

// Standard input that goes on ends so, as --follow does.
func TestReplayInterruptedLive(t *testing.T) {
	stdin, input := io.Pipe()
	f := startReplay(t, stdin, "-")
	defer input.Close()
	if _, err := io.WriteString(input, pasttest.Outage(t).Lines()); err != nil {
		t.Fatal(err)
	}
	f.expect("Stop")
	f.end()
}
