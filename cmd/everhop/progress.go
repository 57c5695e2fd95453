package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/everhop/everhop/broker"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

// progressInterval is long enough that short input shows none.
const progressInterval = 500 * time.Millisecond

// showProgress tells on w how it goes: on a terminal the count and the rate, anywhere that the broker
// takes no messages for now. It ends with the returned function.
func showProgress(w io.Writer, confirmed *atomic.Int64, blocked <-chan broker.Blocked) (stop func()) {
	out, begin := term.To(w), time.Now()
	ticker := time.NewTicker(progressInterval)
	clearLine := term.ClearLine
	if !out.Redraws() {
		ticker.Stop() // it never ticks
		clearLine = ""
	}
	stopped := make(chan struct{})
	var teller sync.WaitGroup
	teller.Go(func() {
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				n := confirmed.Load()
				_ = out.Print(clearLine + term.Plain(fmt.Sprintf("%s, %.0f/s", messagesConfirmed(n), float64(n)/time.Since(begin).Seconds())))
			case b := <-blocked:
				text := "the broker takes messages again"
				if b.Active {
					text = "the broker takes no messages for now (" + b.Reason + "): waiting"
				}
				_ = out.Print(clearLine + "everhop: " + term.Plain(text) + "\n")
			case <-stopped:
				_ = out.Print(clearLine)
				return
			}
		}
	})
	return func() {
		close(stopped)
		teller.Wait()
	}
}

func messagesConfirmed(n int64) string {
	if n == 1 {
		return "1 message confirmed"
	}
	return fmt.Sprintf("%d messages confirmed", n)
}
