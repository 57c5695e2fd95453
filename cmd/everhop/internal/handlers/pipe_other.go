//go:build !linux

package handlers

import "os"

// pipeEnd is our end of a pipe.
type pipeEnd struct{ *os.File }

func pipeFrom() (pipe, error) {
	read, write, err := os.Pipe()
	return pipe{&pipeEnd{read}, write}, err
}

func pipeTo() (pipe, error) {
	read, write, err := os.Pipe()
	return pipe{&pipeEnd{write}, read}, err
}

// waitable is the file for a goroutine.
func (e *pipeEnd) waitable() *os.File { return e.File }

// Close may be called again, and on nil.
func (e *pipeEnd) Close() {
	if e != nil {
		e.File.Close()
	}
}
