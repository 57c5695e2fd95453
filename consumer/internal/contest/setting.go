package contest

import (
	"os"
	"strconv"
	"testing"
)

// Setting is the positive number that a variable of the environment has.
func Setting(tb testing.TB, variable string, otherwise int) int {
	tb.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		tb.Fatalf("%s: %q is not a positive number", variable, text)
	}
	return n
}
