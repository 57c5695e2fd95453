//go:build race

package past

// stride is how many bytes a test of every byte goes on by: the race detector makes it slow, and has nothing to
// find in it.
const stride = 7
