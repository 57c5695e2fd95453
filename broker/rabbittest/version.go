package rabbittest

import (
	"os"

	"github.com/everhop/everhop/broker/internal/versions"
)

// versionEnv names the version of nodes for which no other is asked.
const versionEnv = "EVERHOP_TEST_RABBITMQ"

// Option is a wish for a node that is started.
type Option func(*settings)

type settings struct {
	version string // empty: what the system has
}

func newSettings(options []Option) settings {
	s := settings{version: os.Getenv(versionEnv)}
	for _, option := range options {
		option(&s)
	}
	return s
}

// Version asks for nodes of a version: "3.10", "4.0" or "4.3". Defaults to the one that EVERHOP_TEST_RABBITMQ names,
// or what the system has.
//
// A version that the system does not have comes out of a root: a folder with a small Debian, in the user's
// cache folder or the one that EVERHOP_TEST_CACHE names. The first test that wants it makes it, by debootstrap,
// in a minute or two. That needs Linux, root, and in a container the right to mount. "4.3" stands for the
// newest that Debian has.
func Version(version string) Option {
	return func(s *settings) { s.version = version }
}

// Version is what the node says that it is, such as 4.0.5.
func (n *Node) Version() string { return *n.version.Load() }

// Feature is something that some versions of RabbitMQ do and others do not.
type Feature = versions.Feature

// Features that tests of clients ask for.
const (
	// DefaultLimit: a quorum queue has a delivery limit of 20 if it is declared without one. With a limit,
	// what comes back comes first.
	DefaultLimit = versions.DefaultLimit
	// NackCounts: a basic.nack counts towards a quorum queue's delivery limit, as whatever comes back does.
	NackCounts = versions.NackCounts
	// TimesOutChannels: who does not acknowledge in time loses the channel. Later versions end the consumer
	// instead, by basic.cancel, and only that of a quorum queue.
	TimesOutChannels = versions.TimesOutChannels
	// CutsTexts: a reply text that is too long is cut at 255 octets. Later versions count characters: names that
	// are long and not ASCII make some refusals end the connection with 541.
	CutsTexts = versions.CutsTexts
	// StreamsAreDeaf: a stream takes no notice of a nack or a reject, and does not end the connection.
	StreamsAreDeaf = versions.StreamsAreDeaf
)

// Has tells whether the node's version has a feature. A test that differs from version to version asks for that,
// and not for numbers.
func (n *Node) Has(f Feature) bool { return versions.Has(n.Version(), f) }
