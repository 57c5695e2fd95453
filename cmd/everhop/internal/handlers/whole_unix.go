//go:build unix

package handlers

import (
	"bytes"
	"os"
	"os/exec"

	"github.com/everhop/everhop/cmd/everhop/internal/record"
	"github.com/everhop/everhop/consumer"
)

// whole is a message for a command: its body, and all of it as a line of JSON:
//
//	body ──────────► pipe ──► standard input
//	record.Stream ─► pipe ──► file descriptor 3
//
// A command that reads neither does not notice. What every pipe holds is written at once when the command has started, the
// body first: the line takes longer to make, and few commands read it. The rest waits until the command has ended, and is
// given up then.
type whole struct {
	read    []*os.File
	body    *pipeEnd // nil: package os/exec writes it
	line    *pipeEnd
	written chan struct{} // nil as long as no goroutine writes the line
}

// held is what every pipe holds.
const held = 4 << 10

// offer gives a command that is to be started the other ends of the pipes.
func offer(cmd *exec.Cmd, d *consumer.Delivery, from *pipes) (o *whole, err error) {
	o = &whole{}
	defer func() {
		if err != nil {
			o.withdraw()
		}
	}()
	cmd.Stdin = bytes.NewReader(d.Body)
	if len(d.Body) <= held {
		in, body, err := o.pipe(from)
		if err != nil {
			return o, err
		}
		o.body, cmd.Stdin = body, in
	}
	three, line, err := o.pipe(from)
	o.line, cmd.ExtraFiles = line, []*os.File{three} // the first is 3
	return o, err
}

func (o *whole) pipe(from *pipes) (theirs *os.File, ours *pipeEnd, err error) {
	p, err := from.input()
	if err == nil {
		o.read = append(o.read, p.theirs)
	}
	return p.theirs, p.ours, err
}

// begin is called when the command has its ends.
func (o *whole) begin(d *consumer.Delivery) {
	if o.body != nil {
		_, _ = o.body.Write(d.Body) // as long as we have the other end, too, it cannot fail
		o.body.Close()
	}
	o.closeRead()
	var line bytes.Buffer
	if len(d.Body) <= held {
		_ = record.Write(&line, d) // a failure is one of record.Stream, too
	}
	if n := line.Len(); 0 < n && n <= held {
		_, _ = o.line.Write(line.Bytes()) // nobody has to read it
		o.line.Close()
		return
	}
	file := o.line.waitable()
	o.written = make(chan struct{})
	go func() {
		defer close(o.written)
		defer file.Close()
		_ = record.Stream(file, d)
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
	o.body.Close()
	o.line.Close() // which ends a write that waits
	if o.written != nil {
		<-o.written
	}
}
