//go:build unix

package main

import (
	"slices"
	"testing"
)

// What a shell would change, or do itself, is left to it.
func TestDirectly(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{"cat", []string{"cat"}},
		{" cat  -n\t/dev/stdin ", []string{"cat", "-n", "/dev/stdin"}},
		{"./handle.sh --mode=fast a@b 50%", []string{"./handle.sh", "--mode=fast", "a@b", "50%"}},
		{"", nil}, {"no-such-program", nil},
		{"exit 3", nil}, {"read line", nil}, {"if", nil}, {"cd /", nil}, {".", nil}, {": x", nil}, {". ./script", nil},
		{"A=1 cat", nil}, {"cat $HOME", nil}, {"cat *", nil}, {"cat ~", nil}, {"cat 'a b'", nil}, {"cat; cat", nil}, {"cat\ncat", nil},
		{"cat > x", nil}, {"cat | cat", nil}, {"cat #x", nil}, {"cat [a]", nil}, {"cat \\a", nil}, {"cat {a,b}", nil}, {"! cat", nil}, {"cat &", nil},
	}
	for _, tt := range tests {
		if got := directly(tt.line); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.line, got, tt.want)
		}
	}
}
