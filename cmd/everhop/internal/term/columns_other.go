//go:build !unix

package term

import "io"

// columns is how wide a terminal is, 0 if that is not known.
func columns(io.Writer) int { return 0 }
