//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"

	"github.com/everhop/everhop/consumer"
)

// whole is a message for a command: its body, and all of it as a line of JSON:
//
//	body ───────► pipe ──► standard input
//	writeWhole ─► pipe ──► file descriptor 3
//
// A command that reads neither does not notice: what the pipe does not hold waits until the command has ended, and is
// given up then. What every pipe holds is in it before the command starts.
type whole struct {
	read    []*os.File
	write   *os.File      // nil if all is in the pipe
	written chan struct{} // nil before begin
}

// held is what every pipe holds.
const held = 4 << 10

// offer gives a command that is to be started the other ends of the pipes.
func offer(cmd *exec.Cmd, d *consumer.Delivery) (o *whole, err error) {
	o = &whole{}
	defer func() {
		if err != nil {
			o.withdraw()
		}
	}()
	cmd.Stdin = bytes.NewReader(d.Body)
	if len(d.Body) <= held {
		in, err := o.filled(d.Body)
		if err != nil {
			return o, err
		}
		cmd.Stdin = in
	}
	var line bytes.Buffer
	if len(d.Body) <= held {
		_ = writeWhole(&line, d) // a buffer takes everything
	}
	var three *os.File
	if line.Len() > 0 && line.Len() <= held {
		three, err = o.filled(line.Bytes())
	} else {
		three, o.write, err = o.pipe()
	}
	cmd.ExtraFiles = []*os.File{three} // the first is 3
	return o, err
}

func (o *whole) pipe() (read, write *os.File, err error) {
	read, write, err = os.Pipe()
	if err == nil {
		o.read = append(o.read, read)
	}
	return read, write, err
}

// filled is the end of a pipe with a text in it.
func (o *whole) filled(text []byte) (*os.File, error) {
	read, write, err := o.pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	_, err = write.Write(text)
	return read, err
}

// begin is called when the command has its ends.
func (o *whole) begin(d *consumer.Delivery) {
	o.closeRead()
	if o.write == nil {
		return
	}
	o.written = make(chan struct{})
	go func() {
		defer close(o.written)
		defer o.write.Close()
		_ = writeWhole(o.write, d) // nobody has to read it
	}()
}

func (o *whole) closeRead() {
	for _, read := range o.read {
		read.Close()
	}
	o.read = nil
}

// withdraw is called when the command has ended, or could not be started. When it returns the message is not used any
// more, but by what package os/exec does with a large body.
func (o *whole) withdraw() {
	o.closeRead()
	if o.write != nil {
		o.write.Close() // which ends a write that waits
	}
	if o.written != nil {
		<-o.written
	}
}
