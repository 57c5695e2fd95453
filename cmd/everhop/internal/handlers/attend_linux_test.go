package handlers

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/everhop/everhop/cmd/everhop/internal/deadend"
	"github.com/everhop/everhop/consumer"
)

// A terminal that stands still keeps no command from being ended, nor its handler from returning.
func TestCommandOnAFrozenTerminal(t *testing.T) {
	tty, master := deadend.Terminal(t)
	defer master.Close()
	defer tty.Close()
	c := NewCommand(CommandConfig{Plain: []string{"yes"}, Words: inShell("yes"), Timeout: time.Second, Stdout: tty, Stderr: newFile(t)})
	defer c.End()
	ended := make(chan error, 1)
	go func() { ended <- c.Handle(t.Context(), &consumer.Delivery{}) }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("what is not out is acknowledged")
		}
	case <-time.After(patience):
		t.Error("it is at work for ever")
	}
}

// A pipe that a command has not written to ends without a goroutine, wherever it leads.
func TestCommandOutputUnused(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	s := &shared{w: writer}
	for events, attended := range map[int16]bool{unix.POLLHUP: true, unix.POLLIN | unix.POLLHUP: false} {
		o, err := s.open(new(pipes))
		if err != nil {
			t.Fatal(err)
		}
		defer commandOutputs{o}.drop()
		if got := o.passOn(events); got != attended || o.told != attended {
			t.Errorf("events %x: passed on %v, over %v, want %v", events, got, o.told, attended)
		}
	}
}

// What is read to is shared, and never by two commands at once.
func TestCommandOutputBuffer(t *testing.T) {
	s := &shared{w: newFile(t), lines: true}
	for _, text := range []string{"a\n", "b\nno line", "c\n"} {
		o, err := s.open(new(pipes))
		if err != nil {
			t.Fatal(err)
		}
		defer commandOutputs{o}.drop()
		if _, err := o.write.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if !o.passOn(unix.POLLIN) {
			t.Fatal("it is not passed on")
		}
		if rest := text[2:]; string(o.held) != rest || (rest == "") != (o.held == nil) || (rest == "") != (s.buffer != nil) {
			t.Errorf("%q: held %q, the buffer is there: %v", text, o.held, s.buffer != nil)
		}
	}
}

// Pipes that are prepared are those of the next command; what is released stays open until then.
func TestPipes(t *testing.T) {
	var p pipes
	p.prepare()
	before := openFiles(t)
	p.prepare()
	var taken []pipe
	for range outputsOfOne {
		one, err := p.output()
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, one)
	}
	for range inputsOfOne {
		one, err := p.input()
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, one)
	}
	if open := openFiles(t); open != before {
		t.Errorf("%d files are open, want %d: no pipe is made that is there", open, before)
	}
	for _, one := range taken {
		one.theirs.Close()
		p.release(one.ours)
		if one.ours.fd < 0 {
			t.Error("it is closed at once")
		}
	}
	p.prepare()
	for _, one := range taken {
		if one.ours.fd >= 0 {
			t.Error("it is never closed")
		}
	}
	p.drop()
	if open, want := openFiles(t), before-2*len(taken); open != want {
		t.Errorf("%d files are open in the end, want %d", open, want)
	}
}

// What a command writes right before its end is not lost, though poll told of the end alone.
func TestHangupWithOutput(t *testing.T) {
	to := newFile(t)
	c := NewCommand(CommandConfig{Words: inShell("true"), Stdout: to, Stderr: newFile(t)})
	defer c.End()
	o, err := c.stdout.open(&c.pipes)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.write.WriteString("last words"); err != nil {
		t.Fatal(err)
	}
	o.write.Close()
	for !o.told {
		o.passOn(unix.POLLHUP)
	}
	if text, err := os.ReadFile(to.Name()); err != nil || string(text) != "last words" || o.loss() != nil {
		t.Errorf("passed on: %q, %v; %v", text, err, o.loss())
	}
}
