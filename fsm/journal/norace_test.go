//go:build !race

package journal_test

// stride is how many bytes the exhaustive tests go on by.
const stride = 1
