//go:build race

package journal_test

// stride is how many bytes the exhaustive tests go on by: with the race detector,
// which has nothing to find in them, they would take minutes.
const stride = 13
