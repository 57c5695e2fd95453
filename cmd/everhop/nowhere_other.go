//go:build !unix

package main

import "io"

// unusable is nil where writing to what is closed is an error.
func unusable(io.Writer) error { return nil }
