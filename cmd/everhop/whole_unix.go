//go:build unix

package main

import (
	"os"
	"os/exec"

	"github.com/everhop/everhop/consumer"
)

// whole is the message as a line of JSON, which a command may read from its file descriptor 3:
//
//	writeWhole ──► pipe ──► 3
//
// A command that does not read it does not notice: what the pipe does not hold waits until the command has ended, and
// is given up then.
type whole struct {
	read, write *os.File
	written     chan struct{} // nil before begin
}

// offer gives a command that is to be started the other end of the pipe.
func offer(cmd *exec.Cmd) (*whole, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{read} // the first is 3
	return &whole{read: read, write: write}, nil
}

// begin is called when the command has its end.
func (o *whole) begin(d *consumer.Delivery) {
	o.read.Close()
	o.written = make(chan struct{})
	go func() {
		defer close(o.written)
		defer o.write.Close()
		_ = writeWhole(o.write, d) // nobody has to read it
	}()
}

// withdraw is called when the command has ended, or could not be started. When it returns the message is not used any more.
func (o *whole) withdraw() {
	o.write.Close() // which ends a write that waits
	if o.written == nil {
		o.read.Close()
		return
	}
	<-o.written
}
