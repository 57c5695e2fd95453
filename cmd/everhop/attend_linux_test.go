package main

import (
	"testing"
	"time"

	"github.com/everhop/everhop/consumer"
)

// A terminal that stands still keeps no command from being ended, nor its handler from returning.
func TestCommandOnAFrozenTerminal(t *testing.T) {
	tty, master := openPair(t)
	defer master.Close()
	defer tty.Close()
	c := newCommand(handling{exec: "yes", timeout: time.Second}, false, tty, newFile(t), func() {})
	defer c.children.end()
	ended := make(chan error, 1)
	go func() { ended <- c.handle(t.Context(), &consumer.Delivery{}) }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("what is not out is acknowledged")
		}
	case <-time.After(patience):
		t.Error("it is at work for ever")
	}
}
