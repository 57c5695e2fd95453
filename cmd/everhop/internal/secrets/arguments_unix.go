//go:build unix

package secrets

import "unsafe"

// overwrite works on substrings of os.Args only: Go lets these point into the memory that the kernel
// gave to the process for its arguments, which is writable, and is what ps reads.
func overwrite(text string) {
	memory := unsafe.Slice(unsafe.StringData(text), len(text))
	for i := range memory {
		memory[i] = '*'
	}
}
