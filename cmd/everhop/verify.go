package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/cmd/everhop/internal/past"
	"github.com/everhop/everhop/cmd/everhop/internal/term"
)

func newVerify() *cobra.Command {
	var utc, repair bool
	cmd := &cobra.Command{
		Use:   "verify FILE|DIR",
		Short: "Prove that a journal obeys the table of states",
		Long: `Checks a journal, a directory or one of the segments in it, event by event:

  - the numbers have no hole, except behind a recorded gap
  - each event begins in the state that the events before it lead to
  - the table of states permits the trigger there, and it leads where the event says
  - in_state_ms agrees with the times since the run began

The table is this program's, of a consumer or of a publisher, as the journal says: 'everhop graph' shows the one, and
'everhop graph --publisher' the other. For the first event that is wrong it tells
the place, what the event has, and what was expected. It checks the checksums too, and that no segment is
missing between two others. It cannot see whether somebody has removed the newest events or the oldest
segments.

--repair first sets aside a last line that a crash has torn, into a file beside it, with a note in the
journal. The next 'everhop consume' or 'everhop publish' with this journal does the same. It repairs nothing else.

Exit status: 0 all of it is right, 1 an event is not, or nothing can be read there, 2 wrong command line,
3 the journal is damaged, or what is there is none.`,
		Example: `  everhop verify /var/lib/orders/journal
  everhop verify --repair /var/lib/orders/journal
  everhop verify journal && echo the code obeys its table`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := oneArgument(cmd, args, "a FILE or a DIR"); err != nil {
				return err
			}
			if args[0] == "-" {
				return wrongUsage(cmd, errors.New("a journal is a file or a directory; a log cannot be verified"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if repair {
				said, err := past.Repair(args[0])
				if said != "" {
					complain(cmd.ErrOrStderr(), said)
				}
				if err != nil {
					return err
				}
			}
			return past.Verify(args[0], term.To(cmd.OutOrStdout()), zone(utc))
		},
	}
	cmd.Flags().BoolVar(&utc, "utc", false, "times in UTC (default in the local zone)")
	cmd.Flags().BoolVar(&repair, "repair", false, "set a torn last line aside first; nobody may be writing the journal")
	return cmd
}
