// Package versions tells which versions of RabbitMQ do what, where a client can see it. It is the one place
// that compares versions: who wants to know asks for a feature.
package versions

import (
	"fmt"
	"strings"
)

// Tested are the versions that the tests run on, the newest last.
var Tested = []string{"3.10", "4.0", "4.3"}

// Newest is the last of those.
func Newest() string { return Tested[len(Tested)-1] }

// Has tells whether a version, such as 4.0 or 4.0.5, has a feature. What is no version has what the newest has.
func Has(version string, f Feature) bool {
	v, ok := parse(version)
	if !ok {
		v, _ = parse(Newest())
	}
	span, known := spans[f]
	if !known {
		panic(fmt.Sprintf("versions: nobody knows which have: %s", f))
	}
	return !v.before(span.since) && (span.until == release{} || v.before(span.until))
}

// release is a major and a minor number. What a patch changes is a bug that it mends.
type release struct{ major, minor int }

func (r release) before(other release) bool {
	return r.major < other.major || r.major == other.major && r.minor < other.minor
}

func parse(version string) (r release, ok bool) {
	_, err := fmt.Sscanf(strings.ReplaceAll(version, ".", " "), "%d %d", &r.major, &r.minor)
	return r, err == nil
}
