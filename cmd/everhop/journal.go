package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/consumer"
	"github.com/everhop/everhop/consumer/history"
	"github.com/everhop/everhop/fsm"
	"github.com/everhop/everhop/fsm/journal"
)

// journalFlags are the flags that say where events are kept.
type journalFlags struct {
	dir    string
	retain byteSize
	strict bool
}

func (f *journalFlags) add(cmd *cobra.Command) {
	f.retain = defaultRetain
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "journal", "", "keep all events in the directory `DIR`, for 'everhop replay'; one process at a time")
	flags.Var(size(&f.retain, leastRetain), "journal-retain", "how much of them to keep; the oldest are deleted first")
	flags.BoolVar(&f.strict, "journal-strict", false, "stop when an event cannot be written (default: go on, and log that)")
	if err := cmd.MarkFlagDirname("journal"); err != nil {
		panic(err) // there is no such flag: no test would pass
	}
	complete(cmd, "journal-retain")
}

// check returns what is wrong with the flags together.
func (f *journalFlags) check(cmd *cobra.Command) error {
	switch {
	case f.dir != "":
		return nil
	case cmd.Flags().Changed("journal"):
		return errors.New("--journal: empty")
	}
	for _, flag := range []string{"journal-retain", "journal-strict"} {
		if cmd.Flags().Changed(flag) {
			return errors.New("--" + flag + ": only with --journal DIR")
		}
	}
	return nil
}

// openJournal is a journal that a command writes. What goes wrong meanwhile is logged, and only here: the
// errors of a sync do not reach the consumer, which would log them once more.
type openJournal struct {
	*journal.Journal
	of     *history.Lifecycle
	logger zerolog.Logger
	strict bool

	mu      sync.Mutex
	failure error // the newest one that was logged
}

// publisherFolder is where a consumer's journal has that of its publisher.
const publisherFolder = "publisher"

// forConsumer opens the journals of a consumer and of its publisher, if they are wanted, and returns what finishes them.
func (f *journalFlags) forConsumer(config *consumer.Config, logger zerolog.Logger) (finish func() error, err error) {
	own, err := f.openIfWanted(f.dir, history.Consumer(), logger)
	if err != nil {
		return nil, err
	}
	publishers, err := f.openIfWanted(filepath.Join(f.dir, publisherFolder), history.Publisher(), logger)
	if err != nil {
		return nil, errors.Join(err, own.finish())
	}
	if own != nil {
		config.Journal = own
	}
	if publishers != nil {
		config.PublisherJournal = publishers
	}
	return func() error { return errors.Join(own.finish(), publishers.finish()) }, nil
}

// openIfWanted is open, but nil without --journal, and where it is done without.
func (f *journalFlags) openIfWanted(dir string, of *history.Lifecycle, logger zerolog.Logger) (*openJournal, error) {
	if f.dir == "" {
		return nil, nil
	}
	j, err := f.open(dir, of, logger)
	if err != nil && f.canDoWithout(err) {
		logger.Error().Err(err).Msgf("the journal cannot be opened; %s goes on without until the next start", of.Doing)
		return nil, nil
	}
	return j, err
}

// open opens the journal in a directory. It must be closed, or finished.
func (f *journalFlags) open(dir string, of *history.Lifecycle, logger zerolog.Logger) (*openJournal, error) {
	j := &openJournal{of: of, logger: logger, strict: f.strict}
	var err error
	j.Journal, err = journal.Open(dir, journal.Options{
		RetainBytes: int64(f.retain),
		Strict:      f.strict,
		OnFailure:   j.failed,
		OnRecovered: func(missing uint64) {
			logger.Warn().Uint64("missing", missing).Msg("the journal is written again")
		},
	})
	var corrupt *journal.CorruptError
	if errors.As(err, &corrupt) {
		const advice = "'everhop verify %s' tells how far it is whole; its --repair only sets a torn last line aside"
		return nil, &past.DamagedError{Err: fmt.Errorf("--journal: %w; "+advice, err, dir)}
	}
	if err != nil {
		return nil, fmt.Errorf("--journal: %w", err)
	}
	if other := past.LifecycleIn(dir); other != nil && other != of {
		return nil, errors.Join(fmt.Errorf("--journal: %s is a %s's, and not a %s's", dir, other.Noun, of.Noun), j.Close())
	}
	// consumer.New and publish.New would refuse it, too, among errors that are those of the command line.
	if _, err := fsm.New(of.Table, fsm.Options{Journal: j}); err != nil {
		return nil, errors.Join(fmt.Errorf("--journal: %s is not a %s's: %w", dir, of.Noun, err), j.Close())
	}
	if torn := j.Torn(); torn != "" {
		logger.Warn().Str("file", torn).Msg("the journal ended in the middle of a line, which was set aside")
	}
	return j, nil
}

// canDoWithout reports whether to go on without the journal that failed to open: that a disk is full must not
// keep a consumer from starting again.
func (f *journalFlags) canDoWithout(err error) bool {
	return !f.strict && slices.ContainsFunc([]error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO}, func(fault error) bool {
		return errors.Is(err, fault)
	})
}

func (j *openJournal) failed(err error) {
	j.logger.Error().Err(err).Msgf("the journal cannot be written; %s goes on without", j.of.Doing)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failure = err
}

var _ fsm.Syncer = (*openJournal)(nil)

// Sync syncs. It returns nil: failed was told.
func (j *openJournal) Sync() error {
	_ = j.Journal.Sync()
	return nil
}

// finish closes the journal, if there is one. That it is not whole is an error if it is strict, else it is logged.
func (j *openJournal) finish() error {
	if j == nil {
		return nil
	}
	err := j.Close()
	if j.strict {
		j.mu.Lock()
		defer j.mu.Unlock()
		if err = cmp.Or(err, j.failure); err != nil {
			err = fmt.Errorf("--journal-strict: the journal is not whole: %w", err)
		}
		return err
	}
	if err != nil {
		j.logger.Error().Err(err).Msg("the journal is not whole")
	}
	return nil
}

const (
	defaultRetain byteSize = 64 << 20
	leastRetain   byteSize = 64 << 10
)

// byteSize is a number of bytes.
type byteSize int64

func (n byteSize) String() string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if n%1024 != 0 {
			return fmt.Sprintf("%d%s", int64(n), unit)
		}
		n /= 1024
	}
	return fmt.Sprintf("%dGiB", int64(n))
}

var sized = regexp.MustCompile(`^([0-9]+)(?:([KMG])(?:I?B)?|B)?$`)

// size accepts a number of bytes, with or without a unit of 1024, 1024² or 1024³: 64MiB, or 64MB or 64M, as many write it.
func size(target *byteSize, least byteSize) value[byteSize] {
	shifts := map[string]int{"": 0, "K": 10, "M": 20, "G": 30}
	return value[byteSize]{target, "SIZE", fmt.Sprintf("a size of %v or more, such as 64MiB or 1GiB", least),
		func(text string) (byteSize, bool) {
			found := sized.FindStringSubmatch(strings.ToUpper(text))
			if found == nil {
				return 0, false
			}
			n, err := strconv.ParseInt(found[1], 10, 64)
			shift := shifts[found[2]]
			return byteSize(n) << shift, err == nil && n > 0 && n <= 1<<40>>shift && byteSize(n)<<shift >= least
		}}
}
