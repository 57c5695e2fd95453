//go:build !race

package fsm_test

// stride is how many bytes the exhaustive tests go on by.
const stride = 1
