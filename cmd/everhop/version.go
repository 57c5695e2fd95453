package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/everhop/everhop/broker"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of everhop and Go, and the commit",
		Example: `  everhop version`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "everhop %s\n", version())
			return err
		},
	}
}

// version is what the build left in the binary: "v1.2.3 (commit 0123456789ab of 2025-01-31T12:00:00Z) go1.26.0 linux/amd64".
func version() string {
	return fmt.Sprintf("%s%s %s %s/%s", broker.Version(), commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	vcs := map[string]string{}
	for _, s := range info.Settings {
		vcs[s.Key] = s.Value
	}
	if vcs["vcs.revision"] == "" {
		return ""
	}
	text := fmt.Sprintf(" (commit %.12s of %s", vcs["vcs.revision"], vcs["vcs.time"])
	if vcs["vcs.modified"] == "true" {
		text += ", modified"
	}
	return text + ")"
}
