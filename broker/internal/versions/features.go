package versions

// Feature is something that some versions of RabbitMQ do and others do not, in words for a test's log.
type Feature string

// The features, by where they are met.
const (
	// Anonymous: the mechanism ANONYMOUS is offered, and is the user guest.
	Anonymous Feature = "ANONYMOUS is a way to log in"
	// AMQP1: it speaks AMQP 1.0, and offers that to whom it does not understand.
	AMQP1 Feature = "it speaks AMQP 1.0, too"
	// LargeFrames: a frame_max below 8192 is refused as one below 4096 is by others.
	LargeFrames Feature = "frame_max is at least 8192"
	// SmallMessages: max_message_size is 16 MiB, and not 128.
	SmallMessages Feature = "a message has at most 16 MiB"

	// RefusesHuge: a header that announces more than 512 MiB, the most that max_message_size can be, ends the
	// connection. Others wait for the body.
	RefusesHuge Feature = "a body of more than 512 MiB is refused at its header"

	// CutsTexts: a reply text that is too long is cut. From then on characters are counted, and not octets: names
	// that are long and not ASCII make some refusals end the connection with 541.
	CutsTexts Feature = "a reply text is cut to 255 octets, whatever its characters"

	// PrintsUnicode: a value that a reply text shows in Erlang's words is in Unicode, and not in Latin-1.
	PrintsUnicode Feature = "values in reply texts are printed in Unicode"

	// NamesAccess: who lacks a permission is told which.
	NamesAccess Feature = "a refusal says which access is refused"
	// AsksForCopies: topic permissions are about the keys in CC and BCC, too.
	AsksForCopies Feature = "topic permissions are about the keys of copies"
	// AsksToLook: a passive declaration takes the permission to configure.
	AsksToLook Feature = "a passive declaration takes the permission to configure"
	// NamesTypes: what is declared without a type is compared, and called, classic.
	NamesTypes Feature = "a queue without a type is called classic"
	// ForgivesTypes: an exchange of an unknown type costs the channel, and not the connection.
	ForgivesTypes Feature = "an exchange of an unknown type is refused with 406"
	// KeepsExchanges: what is not durable ends with the connection or with use, not with the node.
	KeepsExchanges Feature = "exchanges that are not durable outlive their node"
	// QuotesTypes: a refused basic.get of a single-active queue shows the type in Erlang's brackets.
	QuotesTypes Feature = "a refusal shows the queue's type in brackets"
	// QosPerConsumer: a prefetch of a channel, basic.qos global, is one of each of its consumers.
	QosPerConsumer Feature = "the prefetch of a channel is that of each consumer"

	// GoesBehind: what comes back to a quorum queue without a delivery limit goes behind all others, and has lost its
	// priority.
	GoesBehind Feature = "what comes back without a delivery limit goes behind"
	// QuorumShares: a quorum queue serves two messages with a priority above 4, and then the oldest.
	QuorumShares Feature = "a quorum queue has two priorities"
	// QuorumPriorities: a quorum queue serves messages by their priority, of which there are 32, and 4 is that of those
	// without.
	QuorumPriorities Feature = "a quorum queue has 32 priorities"
	// DefaultLimit: a quorum queue has a delivery limit of 20 if it is declared without one. With a limit,
	// what comes back comes first.
	DefaultLimit Feature = "a quorum queue has a delivery limit of 20 by default"
	// NackCounts: basic.nack and basic.recover count towards a quorum queue's delivery limit, as whatever
	// comes back does.
	NackCounts Feature = "a nack counts towards the delivery limit"
	// Acquired: a quorum queue counts in x-acquired-count how often a message was given out before.
	Acquired Feature = "x-acquired-count tells how often a message was given out"
	// CountsFromZero: a basic.get of a quorum queue has an x-delivery-count though it is the first delivery.
	CountsFromZero Feature = "a first basic.get has an x-delivery-count"
	// TimesOutChannels: who does not acknowledge in time loses the channel. From then on it is the consumer, by
	// basic.cancel, and only that of a quorum queue.
	TimesOutChannels Feature = "the consumer timeout closes the channel, whatever the queue"
	// TimesOutQueues: a queue of any type may have its own consumer timeout, of which nothing is checked.
	TimesOutQueues Feature = "any queue may have an x-consumer-timeout"
	// ChecksTimeouts: quorum queues, and their consumers, may have a consumer timeout, and others cannot.
	ChecksTimeouts Feature = "quorum queues and their consumers may have an x-consumer-timeout"
	// HasLazyQueues: x-queue-mode is checked, and x-queue-version may be 1.
	HasLazyQueues Feature = "classic queues have modes and versions"
	// MirrorsQueues: policies may mirror classic queues.
	MirrorsQueues Feature = "policies have ha-mode and its siblings"
	// PolicyTimesOut: a policy may have a consumer-timeout.
	PolicyTimesOut Feature = "a policy may have a consumer-timeout"
	// BoundsMore: operator policies may have overflow, and policies keys for groups of quorum queues and filters of streams.
	BoundsMore Feature = "an operator policy may have overflow"
	// PolicyLeases: a policy's expires counts before a quorum queue's own, and not the shorter one.
	PolicyLeases Feature = "a policy's lease of a quorum queue counts before its own"
	// LocatesClassic: a classic queue may have an x-queue-leader-locator.
	LocatesClassic Feature = "a classic queue may say where its leader is"
	// RefusesMasters: the argument x-queue-master-locator ends the connection.
	RefusesMasters Feature = "a queue with an x-queue-master-locator is refused with 541"
	// StreamsTakeLetters: a dead letter comes into a stream. Before, it is lost there.
	StreamsTakeLetters Feature = "a dead letter comes into a stream"
	// NamesStreams: what a consumer of a stream is refused for speaks of a stream.
	NamesStreams Feature = "a refusal calls a stream a stream"
	// ReadsAges: an x-max-age or x-stream-offset without a number is refused. Before, it ends the connection.
	ReadsAges Feature = "an age without a number is refused"
	// StreamsAreDeaf: a stream takes no notice of a nack or a reject, and does not end the connection.
	StreamsAreDeaf Feature = "a stream takes a reject without a word"

	// LastDeath: a dead letter tells of its last death in x-last-death-reason and its siblings.
	LastDeath Feature = "a dead letter has x-last-death headers"
	// KnowsDeaths: a message's deaths are those that the broker has seen itself. Before, they are those that its x-death
	// tells of, whoever has published it.
	KnowsDeaths Feature = "an x-death that was published counts for nothing"
	// KeepsCopies: a dead letter that gets another key keeps its header CC.
	KeepsCopies Feature = "a dead letter with another key keeps its CC"
	// QueuesReplies: a direct reply is routed to a queue, if the broker has made its name: it does not come back for being
	// mandatory, counts among the delivery tags, and waits for the commit of a transaction.
	QueuesReplies Feature = "a direct reply counts as routed"
	// RoutesAtOnce: a transaction's messages are routed when they are published, and fail it if their queue is gone. Before,
	// a message for the default exchange looks for its queue when it is committed, and others pass over one that is gone.
	RoutesAtOnce Feature = "a transaction's messages are routed when they are published"
	// NamesLostQueues: the connection ends with the name of a queue that was deleted before the commit.
	NamesLostQueues Feature = "a queue that is gone before the commit costs the connection"
	// DeadRedelivered: a dead letter is redelivered if it ever came back in a way that the delivery limit counts, or
	// died by basic.reject. Before, none is.
	DeadRedelivered Feature = "a dead letter may be redelivered"
)

var (
	four      = release{4, 0}
	fourOne   = release{4, 1}
	fourThree = release{4, 3}
)

// spans say from which release on something is so, and until before which.
var spans = map[Feature]struct{ since, until release }{
	Anonymous:          {since: four},
	AMQP1:              {since: four},
	LargeFrames:        {since: fourOne},
	SmallMessages:      {since: four},
	RefusesHuge:        {since: fourThree},
	CutsTexts:          {until: four},
	PrintsUnicode:      {since: four},
	NamesAccess:        {since: four},
	AsksForCopies:      {since: four},
	AsksToLook:         {since: fourThree},
	NamesTypes:         {since: four},
	ForgivesTypes:      {since: four},
	KeepsExchanges:     {since: fourThree},
	QuotesTypes:        {since: fourThree},
	QosPerConsumer:     {since: fourThree},
	GoesBehind:         {until: fourThree},
	QuorumShares:       {since: four, until: fourThree},
	QuorumPriorities:   {since: fourThree},
	DefaultLimit:       {since: four},
	NackCounts:         {until: fourThree},
	Acquired:           {since: fourThree},
	CountsFromZero:     {until: four},
	TimesOutChannels:   {until: fourThree},
	TimesOutQueues:     {since: four, until: fourThree},
	ChecksTimeouts:     {since: fourThree},
	HasLazyQueues:      {until: fourThree},
	MirrorsQueues:      {until: four},
	PolicyTimesOut:     {since: four},
	BoundsMore:         {since: four},
	PolicyLeases:       {until: four},
	LocatesClassic:     {since: four},
	RefusesMasters:     {since: fourThree},
	StreamsTakeLetters: {since: four},
	NamesStreams:       {since: four},
	ReadsAges:          {since: fourThree},
	StreamsAreDeaf:     {since: four},
	LastDeath:          {since: four},
	KnowsDeaths:        {since: four},
	KeepsCopies:        {since: four},
	QueuesReplies:      {since: fourThree},
	RoutesAtOnce:       {since: four},
	NamesLostQueues:    {since: fourThree},
	DeadRedelivered:    {since: fourThree},
}
