//go:build !race

package past

// stride is how many bytes a test of every byte goes on by.
const stride = 1
