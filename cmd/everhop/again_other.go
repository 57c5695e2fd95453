//go:build !unix

package main

import "os"

// pollRoom cannot wait here.
func pollRoom(*os.File) bool { return false }

// readNow reads nothing, since it could wait for ever.
func readNow(*os.File, []byte) (int, error) { return 0, errEmpty }
