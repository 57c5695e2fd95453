package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/everhop/everhop/cmd/everhop/internal/record"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
	"github.com/everhop/everhop/consumer/parked"
)

// repairFlags are those of retry and discard.
type repairFlags struct {
	parkedFlags
	dryRun, yes bool
}

func (f *repairFlags) add(cmd *cobra.Command) {
	f.parkedFlags.add(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only list what is meant")
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask; needed where standard input is no terminal")
}

// agreed asks, unless that is answered by --yes.
func (f *repairFlags) agreed(ctx context.Context, cmd *cobra.Command, question string) error {
	if f.yes {
		return nil
	}
	if in, ok := cmd.InOrStdin().(*os.File); !ok || !term.IsTerminal(in) {
		return wrongUsage(cmd, errors.New("--yes is missing: standard input is no terminal, and there is nobody to ask"))
	}
	cmd.PrintErr(question + " [y/N] ")
	answered := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		answered <- line
	}()
	select {
	case line := <-answered:
		if answer := strings.ToLower(strings.TrimSpace(line)); answer == "y" || answer == "yes" {
			return nil
		}
		return errors.New("nothing was done")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// which are the messages that are meant, in words.
func (f *repairFlags) which(queue string) string {
	words := "the messages in " + queue
	if f.count > 0 {
		words = fmt.Sprintf("up to %d of %s", f.count, words)
	}
	if f.error != nil || !f.since.IsZero() || f.from != "" || f.id != "" || len(f.headers) > 0 {
		words += " that match"
	}
	return words
}

func newParkedRetry() *cobra.Command {
	f := &repairFlags{}
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "retry QUEUE",
		Short: "Publish parked messages to the queues from which they came",
		Long: `Publishes messages to the queue from which each came, through the default exchange, and takes them out of the parking queue
when the broker has confirmed that. A crash at any moment leaves a message in at least one of the two queues.

Headers that everhop has added are taken off, so that a handler has all its attempts; x-everhop-first-failed stays, and so do
x-everhop-exchange and x-everhop-routing-key, with which the message was published, if they are others. An expiration
that was taken off is there again. A user id is if it is the user of the URL. CC stays in x-everhop-cc, since copies would go out
again.

A message whose queue is not there any more, or is not known, stays where it is, and the exit status is 1. What is
retried and parked again meanwhile is left alone. A signal stops it: what is on its way is waited for. A second one ends it
at once; then what was on its way may be in both queues.

Messages are held while it works, those that do not match until the end: with --rate and filters, choose with --count so many
that it takes less than the broker's consumer_timeout, 30 minutes by default.

Exit status: 0 all that is meant was retried, 1 not all, 2 wrong command line, 130 ended by a second signal.`,
		Example: `  everhop parked retry orders.parked --dry-run
  everhop parked retry orders.parked --error 'no stock' --rate 50/s
  everhop parked retry orders.parked --id 7b0c --yes`,
		Args: queueArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := f.config(cmd, args[0])
			if err != nil {
				return err
			}
			config.Every = every
			return whileHeld(cmd, func(ctx context.Context) error { return f.retry(ctx, cmd, config) })
		},
	}
	f.add(cmd)
	cmd.Flags().Var(rate(&every), "rate", "publish no faster than that (default no limit)")
	complete(cmd, "rate")
	return cmd
}

// mostFailures is how many are told one by one.
const mostFailures = 10

func (f *repairFlags) retry(ctx context.Context, cmd *cobra.Command, config parked.Config) error {
	if f.dryRun {
		return list(ctx, cmd, config, "table", false)
	}
	if err := f.agreed(ctx, cmd, "Retry "+f.which(config.Queue)+"?"); err != nil {
		return err
	}
	config.Logger = (&logFlags{level: zerolog.LevelWarnValue}).logger(term.To(cmd.ErrOrStderr())) // what it waits for
	step := newSteps(cmd, "retried")
	failures := 0
	tally, err := parked.Retry(ctx, config, func(e *parked.Entry, err error) {
		if err == nil {
			step.tick()
			return
		}
		if failures++; failures <= mostFailures {
			complain(cmd.ErrOrStderr(), fmt.Sprintf("message %q stays: %s", e.Message.MessageID, inWords(err)))
		}
	})
	step.end()
	cmd.PrintErrln(repaired(tally, "retried"))
	tellLives(cmd, tally)
	if err == nil && tally.Failed > 0 {
		return statusError(1)
	}
	return browseHint(err)
}

// repaired is what became of all, in words.
func repaired(t parked.Tally, done string) string {
	text := fmt.Sprintf("%d %s, %d left as they are", t.Done, done, max(0, t.Waiting-t.Done-t.Failed))
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d failed", t.Failed)
	}
	return text
}

func newParkedDiscard() *cobra.Command {
	f := &repairFlags{}
	var to string
	cmd := &cobra.Command{
		Use:   "discard QUEUE --to FILE",
		Short: "Take parked messages out of their queue, into a file",
		Long: `Writes messages to a file, as 'everhop consume --output jsonl' does, and takes them out of the queue when the file is
synced. A file that is there is appended to. 'everhop publish --input jsonl' puts the messages back.
Of those that a broker has dead-lettered x-death is lost by that, which says from where: publish them to their own queue.

A message that could not be read stays, and the exit status is 1. A signal stops it, and a second one ends it at once; then the
last messages may be in both places.

Exit status: 0 all that is meant was discarded, 1 not all, 2 wrong command line, 130 ended by a second signal.`,
		Example: `  everhop parked discard orders.parked --error 'no such customer' --to discarded.jsonl
  everhop publish --input jsonl --queue orders.parked < discarded.jsonl`,
		Args: queueArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" && !f.dryRun {
				return wrongUsage(cmd, errors.New("--to is missing: what is discarded is written there"))
			}
			config, err := f.config(cmd, args[0])
			if err != nil {
				return err
			}
			return whileHeld(cmd, func(ctx context.Context) error { return f.discard(ctx, cmd, config, to) })
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&to, "to", "", "`FILE` to write them to; appended to if it is there")
	return cmd
}

func (f *repairFlags) discard(ctx context.Context, cmd *cobra.Command, config parked.Config, to string) (result error) {
	if f.dryRun {
		return list(ctx, cmd, config, "table", false)
	}
	if err := f.agreed(ctx, cmd, "Discard "+f.which(config.Queue)+"? They will be in "+to+" alone."); err != nil {
		return err
	}
	file, err := openBin(to)
	if err != nil {
		return err
	}
	defer func() { result = errors.Join(result, file.Close()) }()
	step := newSteps(cmd, "discarded")
	tally, err := parked.Discard(ctx, config, func(batch []*parked.Entry) error {
		if err := file.write(batch); err != nil {
			return err
		}
		for range batch {
			step.tick()
		}
		return nil
	})
	step.end()
	cmd.PrintErrln(repaired(tally, "discarded"))
	tellLives(cmd, tally)
	if err == nil && tally.Failed > 0 {
		return statusError(1)
	}
	return browseHint(err)
}

// bin is the file for what is discarded. It holds whole lines: what was written of a batch that failed is cut off.
type bin struct {
	*os.File
	size int64
}

func openBin(path string) (*bin, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	isNew := err == nil
	if errors.Is(err, os.ErrExist) {
		file, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, err
	}
	b := &bin{File: file}
	err = lockBin(file)
	switch {
	case err != nil:
	case isNew:
		err = syncFolder(path)
	default:
		err = b.findEnd()
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("--to %s: %w", path, err)
	}
	return b, nil
}

// Close gives the file up to other processes, also while a child has a copy of it that is just being started.
func (b *bin) Close() error {
	unlockBin(b.File)
	return b.File.Close()
}

// findEnd goes to the end of a file that is there.
func (b *bin) findEnd() error {
	info, err := b.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is no file in which messages would last")
	}
	b.size = info.Size()
	if b.size == 0 {
		return nil
	}
	last := make([]byte, 1)
	if _, err := b.ReadAt(last, b.size-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		return errors.New("its last line has no end, and would run into what is appended; another everhop may be writing, or was killed")
	}
	return nil
}

// write returns nil when the messages will be there after a crash.
func (b *bin) write(batch []*parked.Entry) error {
	var lines bytes.Buffer
	for _, e := range batch {
		if err := record.Write(&lines, e.Message); err != nil {
			return err
		}
	}
	if info, err := b.Stat(); err != nil || info.Size() != b.size { // where a file cannot be locked
		return errors.Join(err, errors.New("somebody else writes to the file of --to"))
	}
	uncut <- struct{}{}
	defer func() { <-uncut }()
	_, err := b.WriteAt(lines.Bytes(), b.size)
	if err == nil {
		err = b.Sync()
	}
	if err != nil {
		return errors.Join(err, b.Truncate(b.size))
	}
	b.size += int64(lines.Len())
	return nil
}

// syncFolder makes the name of a new file last. Some systems cannot.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil //nolint:nilerr // it can be written to, and not be read
	}
	defer folder.Close()
	_ = folder.Sync()
	return nil
}

// steps tells how far long work is: on a terminal in a line that changes, elsewhere in a line now and then.
type steps struct {
	cmd    *cobra.Command
	done   string
	screen *progress
	n      int
	told   time.Time
}

// stepsInterval is between two lines where they are not drawn over.
const stepsInterval = 10 * time.Second

func newSteps(cmd *cobra.Command, done string) *steps {
	return &steps{cmd: cmd, done: done, screen: newProgress(term.To(cmd.ErrOrStderr())), told: time.Now()}
}

func (s *steps) tick() {
	s.n++
	redraws := s.screen.out.Redraws()
	interval := stepsInterval
	if redraws {
		interval = progressInterval
	}
	if time.Since(s.told) < interval {
		return
	}
	s.told = time.Now()
	text := fmt.Sprintf("%d %s", s.n, s.done)
	if redraws {
		s.screen.draw(term.Plain(text))
		return
	}
	s.cmd.PrintErrln(text)
}

func (s *steps) end() { s.screen.draw("") }
