package fsm

// Journal is the commit log of one machine: an event has happened when Append
// returned nil, and not before.
type Journal interface {
	// Append adds an event to the log. It is called once per event, in order of
	// Seq, never concurrently, by the goroutine that called Fire or Record. An
	// error vetoes the event: the machine stays as it is and offers the next
	// event under the same Seq. Append must not call Fire or Record of the same
	// machine; both would return [ErrReentrant].
	Append(Event) error

	// Last returns the newest event of the log, false when there is none. [New]
	// continues from it.
	Last() (Event, bool)
}

// Syncer is a [Journal] that can be asked to have what it holds outlive a power
// failure. Sync may be called from anywhere, beside Append.
type Syncer interface {
	Journal
	Sync() error
}
