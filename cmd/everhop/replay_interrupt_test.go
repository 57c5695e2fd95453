package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/everhop/everhop/consumer"
)

// turbulent has a timeline that is longer than what is written at once.
func turbulent(t testing.TB) *past {
	p := newPast(t, "orders").connect()
	for range 1000 {
		p.fire(time.Second, consumer.ConnectionError, consumer.Evidence{Class: "network"}).fire(time.Second, consumer.Revived, consumer.Evidence{Attempt: 1})
	}
	return p
}

// Once interrupted, it tells no more: neither the rest, nor a summary of what was not all.
func TestReplayInterrupted(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt) // has package signal start its goroutine outside the bubbles
	defer signal.Stop(signals)
	p := turbulent(t)
	log := p.logFile()
	for _, tt := range []struct {
		name, stdin string
		args        []string
		whole       string // what the whole would have
	}{
		{"journal", "", []string{p.journal()}, "Summary of orders"},
		{"log", "", []string{log}, "Summary of orders"},
		{"json", "", []string{log, "--json"}, `"entry":"summary"`},
		{"standard input that was read to its end", p.lines(), []string{"-", "--since", "2h"}, "Summary of orders"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, all, _ := withInput(t, tt.stdin, append([]string{"replay"}, tt.args...)...)
			if !strings.Contains(all, tt.whole) {
				t.Fatalf("no %s in %s", tt.whole, all)
			}
			synctest.Test(t, func(t *testing.T) {
				ctx, interrupt := context.WithCancel(t.Context())
				reader, out := io.Pipe()
				var stderr bytes.Buffer
				status := make(chan int, 1)
				go func() {
					status <- run(ctx, append([]string{"replay"}, tt.args...), strings.NewReader(tt.stdin), out, &stderr)
					out.Close()
				}()
				if _, err := reader.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				interrupt()
				synctest.Wait() // it waits for its reader
				rest, _ := io.ReadAll(reader)
				if got := <-status; got != 130 || stderr.String() != "everhop: interrupted\n" {
					t.Errorf("exit status %d, want 130; %s", got, &stderr)
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
	p := outage(t)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if _, _, err := (source{path: "-", stdin: strings.NewReader(p.lines())}).spool(ctx); !errors.Is(err, errInterrupted) {
		t.Errorf("spooling: %v", err)
	}
	for _, path := range []string{p.journal(), p.logFile()} {
		if end, err := new(replay).extent(ctx, source{path: path}); !errors.Is(err, errInterrupted) {
			t.Errorf("%s: %v, %v", path, end, err)
		}
	}
	t.Run("standard input that is read to its end", func(t *testing.T) {
		t.Setenv("TMPDIR", t.TempDir())
		stdin, input := io.Pipe()
		f := startReplay(t, stdin, "-", "--since", "2h")
		defer input.Close()
		if _, err := io.WriteString(input, p.lines()); err != nil {
			t.Fatal(err)
		}
		f.interrupt()
		stdout, _ := io.ReadAll(f.lines)
		<-f.done
		if f.status != 130 || len(stdout) > 0 || f.stderr.String() != "everhop: interrupted\n" {
			t.Errorf("exit status %d, %q, %s", f.status, stdout, &f.stderr)
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
	if _, err := io.WriteString(input, outage(t).lines()); err != nil {
		t.Fatal(err)
	}
	f.expect("Stop")
	f.end()
}
