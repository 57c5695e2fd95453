package handlers

import (
	"os"
	"sync"
)

// pipes has the pipes of commands. While one runs, those of the next are made, and those of the last are closed:
//
//	command ────── runs ──────┐ ends ── next command
//	         close, prepare   │
//
// Between two commands nobody does anything else, and each of these calls makes all wait.
type pipes struct {
	mu      sync.Mutex
	outputs []pipe     // that nobody has used
	inputs  []pipe     // likewise
	over    []*pipeEnd // that nobody uses any more
}

// pipe is one for a command, which is to inherit the other end.
type pipe struct {
	ours   *pipeEnd
	theirs *os.File
}

// What a command has: standard output and standard error, standard input and the message as a line.
const outputsOfOne, inputsOfOne = 2, 2

// output is a pipe to which a command writes.
func (p *pipes) output() (pipe, error) { return p.take(&p.outputs, pipeFrom) }

// input is a pipe from which a command reads.
func (p *pipes) input() (pipe, error) { return p.take(&p.inputs, pipeTo) }

func (p *pipes) take(spare *[]pipe, open func() (pipe, error)) (pipe, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(*spare) - 1; last >= 0 {
		one := (*spare)[last]
		*spare = (*spare)[:last]
		return one, nil
	}
	return open()
}

// release closes an end, but not at once.
func (p *pipes) release(end *pipeEnd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = append(p.over, end)
}

// prepare is called while a command runs. What cannot be made is missed by the next one, which says so.
func (p *pipes) prepare() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.close()
	for len(p.outputs) < outputsOfOne {
		one, err := pipeFrom()
		if err != nil {
			return
		}
		p.outputs = append(p.outputs, one)
	}
	for len(p.inputs) < inputsOfOne {
		one, err := pipeTo()
		if err != nil {
			return
		}
		p.inputs = append(p.inputs, one)
	}
}

// close is called with mu held.
func (p *pipes) close() {
	for _, end := range p.over {
		end.Close()
	}
	clear(p.over)
	p.over = p.over[:0]
}

// drop is called when there will be no more commands.
func (p *pipes) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.close()
	for _, spare := range [][]pipe{p.outputs, p.inputs} {
		for _, one := range spare {
			one.ours.Close()
			one.theirs.Close()
		}
	}
	p.outputs, p.inputs = nil, nil
}
