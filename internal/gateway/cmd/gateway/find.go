package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"talon/internal/gateway"
)

// newFindCommand is for machines with the sources and a compiler: a build of minutes passes where it can be seen.
func newFindCommand(stdout, stderr io.Writer) *cobra.Command {
	options := gateway.FindOptions{Log: stderr}
	command := &cobra.Command{
		Use:   "find",
		Short: "Find versitygw or build it, and print its path",
		Long: "Print the path of versitygw: the one that " + gateway.ProgramEnv + " names, else the one on PATH, else the one in the cache,\n" +
			"which is built there first from the module in --tools (1 to 2 minutes, once; needs Go).",
		Example: "  gateway find --tools tools",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := gateway.FindOrBuild(cmd.Context(), options)
			if err != nil {
				return err
			}
			fmt.Fprintln(stdout, path)
			return nil
		},
	}
	command.Flags().StringVar(&options.ToolsDir, "tools", "tools", "directory of the go.mod that pins versitygw")
	command.Flags().StringVar(&options.CacheDir, "cache", "", "directory that keeps it once it is built (default: talon in the user's cache)")
	return command
}
