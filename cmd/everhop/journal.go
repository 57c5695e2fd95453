package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/everhop/everhop/fsm"
)

// journalFlags are the flags that say where events are kept.
type journalFlags struct {
	dir    string
	retain int64
	strict bool
}

func (f *journalFlags) add(cmd *cobra.Command) {
	f.retain = defaultRetain
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "journal", "", "keep all events in the directory `DIR`, for 'everhop replay'; one process at a time")
	flags.Var(size(&f.retain, leastRetain), "journal-retain", "how much of them to keep; the oldest go first")
	flags.BoolVar(&f.strict, "journal-strict", false, "stop when an event cannot be written (default: go on, and say so)")
	if err := cmd.MarkFlagDirname("journal"); err != nil {
		panic(err) // there is no such flag: no test would pass
	}
	complete(cmd, "journal-retain")
}

// check returns what is wrong with the flags together.
func (f *journalFlags) check(cmd *cobra.Command) error {
	if f.dir != "" {
		return nil
	}
	for _, flag := range []string{"journal", "journal-retain", "journal-strict"} {
		if cmd.Flags().Changed(flag) {
			return errors.New("--" + flag + ": only with --journal DIR")
		}
	}
	return nil
}

// open opens the journal, if there is to be one. It must be closed.
func (f *journalFlags) open(logger zerolog.Logger) (*fsm.FileJournal, error) {
	journal, err := fsm.OpenJournal(f.dir, fsm.JournalOptions{
		RetainBytes: f.retain,
		Strict:      f.strict,
		OnFailure: func(err error) {
			logger.Error().Err(err).Msg("the journal cannot be written; consuming goes on without")
		},
		OnRecovered: func(missing uint64) {
			logger.Warn().Uint64("missing", missing).Msg("the journal is written again")
		},
	})
	if err != nil {
		return nil, fmt.Errorf("--journal: %w", err)
	}
	if torn := journal.Torn(); torn != "" {
		logger.Warn().Str("file", torn).Msg("the journal ended in the middle of a line, which was set aside")
	}
	return journal, nil
}

const (
	defaultRetain = 64 << 20
	leastRetain   = 64 << 10
)

// size accepts a number of bytes, with or without a unit of 1024, 1024² or 1024³.
func size(target *int64, least int64) value[int64] {
	return value[int64]{target, "SIZE", fmt.Sprintf("a size of %dKB or more, such as 64MB or 1GB", least>>10),
		func(text string) (int64, bool) {
			number, shift := strings.TrimSuffix(strings.ToUpper(text), "B"), 0
			for unit, bits := range map[string]int{"K": 10, "M": 20, "G": 30} {
				if digits, ok := strings.CutSuffix(number, unit); ok {
					number, shift = digits, bits
					break
				}
			}
			n, err := strconv.ParseInt(number, 10, 64)
			return n << shift, err == nil && n > 0 && n <= 1<<40>>shift && n<<shift >= least
		}}
}
