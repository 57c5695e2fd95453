package journal

import (
	"errors"
	"fmt"
	"time"
)

// SyncPolicy says when a [Journal] asks the disk to keep what was written,
// beyond a power failure. What Append returned for outlives the process in any case.
type SyncPolicy int

const (
	// SyncInterval syncs Options.SyncEvery after the first write since the
	// last sync. It is the default.
	SyncInterval SyncPolicy = iota
	// SyncEach syncs within each Append.
	SyncEach
	// SyncNever leaves it to Sync, Close, and the start of a new segment.
	SyncNever
)

// Options of a [Journal]. The zero value is useful.
type Options struct {
	// SegmentBytes is the size at which a segment is followed by a new one, in
	// bytes. Defaults to an eighth of RetainBytes, but at most 8 MiB.
	SegmentBytes int64
	// RetainBytes is how much the segments take together, in bytes, give or take a record for each:
	// whole segments are removed, the oldest first, but never the one being written. Torn lines
	// that were set aside are not counted: the newest 8 files of them are kept, but none that are
	// older than the oldest segment. Defaults to 64 MiB.
	RetainBytes int64
	// RetainAge is how long a segment is kept after its last event. It is looked at
	// when a segment begins, and in Open. It compares Now with the time in the
	// events: when the clock is set ahead by more, all but the newest segment are too
	// old. Defaults to no limit.
	RetainAge time.Duration
	// Sync says when to sync. Defaults to SyncInterval.
	Sync SyncPolicy
	// SyncEvery is the interval of SyncInterval. Defaults to 1 second.
	SyncEvery time.Duration
	// Strict makes Append return the error of a failed write, which vetoes the
	// event. By default Append returns nil, and the event will be missing. When it is
	// found that events written before were removed, or may not outlive a power
	// failure, that vetoes the next event, once.
	Strict bool
	// OnFailure is called when writing or syncing begins to fail, not each time it
	// does. In Strict mode it is not called for what Append finds and returns.
	// Defaults to nothing.
	//
	// It runs within Open, Append, Sync or a timer, with no lock held, and must not call the
	// journal's Close nor the machine's Fire. The same goes for OnRecovered.
	OnFailure func(error)
	// OnRecovered is called when writing works again and a KindGap event says so,
	// with how many events that stands for. Defaults to nothing.
	OnRecovered func(missing uint64)
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.RetainBytes == 0 {
		o.RetainBytes = 64 << 20
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = max(1, min(8<<20, o.RetainBytes/8))
	}
	if o.SyncEvery == 0 {
		o.SyncEvery = time.Second
	}
	if o.OnFailure == nil {
		o.OnFailure = func(error) {}
	}
	if o.OnRecovered == nil {
		o.OnRecovered = func(uint64) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (o Options) validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf("journal: Options."+format, args...))
		}
	}
	check(o.SegmentBytes > 0, "SegmentBytes is negative: %d", o.SegmentBytes)
	check(o.RetainBytes > 0, "RetainBytes is negative: %d", o.RetainBytes)
	check(o.SegmentBytes <= o.RetainBytes, "SegmentBytes is more than RetainBytes: %d, %d", o.SegmentBytes, o.RetainBytes)
	check(o.RetainAge >= 0, "RetainAge is negative: %s", o.RetainAge)
	check(o.SyncEvery > 0, "SyncEvery is negative: %s", o.SyncEvery)
	check(o.Sync >= SyncInterval && o.Sync <= SyncNever, "Sync is none of the policies: %d", o.Sync)
	return errors.Join(problems...)
}
