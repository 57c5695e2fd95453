//go:build !linux

package main

import "os"

// pipeEnd is our end of a pipe.
type pipeEnd struct{ *os.File }

func pipeFrom() (ours *pipeEnd, theirs *os.File, err error) {
	read, write, err := os.Pipe()
	return &pipeEnd{read}, write, err
}

func pipeTo() (theirs *os.File, ours *pipeEnd, err error) {
	read, write, err := os.Pipe()
	return read, &pipeEnd{write}, err
}

// waitable is the file for a goroutine.
func (e *pipeEnd) waitable() *os.File { return e.File }

// Close may be called again, and on nil.
func (e *pipeEnd) Close() {
	if e != nil {
		e.File.Close()
	}
}
