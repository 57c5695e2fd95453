package brokertest

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// simpleTopic is the rule as the specification words it.
func simpleTopic(pattern, words []string) bool {
	switch {
	case len(pattern) == 0:
		return len(words) == 0
	case pattern[0] == "#":
		return simpleTopic(pattern[1:], words) || len(words) > 0 && simpleTopic(pattern, words[1:])
	case len(words) == 0:
		return false
	}
	return (pattern[0] == "*" || pattern[0] == words[0]) && simpleTopic(pattern[1:], words[1:])
}

func TestMatchTopic(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	some := func(alphabet ...string) []string {
		all := make([]string, random.IntN(7))
		for i := range all {
			all[i] = alphabet[random.IntN(len(alphabet))]
		}
		return all
	}
	for range 100_000 {
		pattern, key := some("a", "b", "*", "#"), some("a", "b")
		if got, want := matchTopic(pattern, key), simpleTopic(pattern, key); got != want {
			t.Fatalf("matchTopic(%q, %q) is %t", pattern, key, got)
		}
	}
}

// No binding makes a broker think for ever.
func TestMatchTopicIsQuick(t *testing.T) {
	pattern, key := words(strings.Repeat("#.", 127)+"b"), words(strings.Repeat("a.", 127)+"a")
	began := time.Now()
	if matchTopic(pattern, key) {
		t.Error("it matched")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}
