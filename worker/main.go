// Command worker runs one or both of Talon's roles: tiger lists, downloads, publishes and seals; eagle extracts. It also runs the extraction
// engine alone, without Temporal: worker extract.
package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"talon/internal/archive/sandbox"
	"talon/internal/commandline"
)

// exitUnusable is the exit code for what could not even start: bad configuration, no Temporal, bad arguments.
const exitUnusable = commandline.ExitUnusable

func main() {
	sandbox.RunIfChild()
	commandline.Main(execute)
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return commandline.Execute(ctx, newCommand(stdout, stderr), args, stdout, stderr)
}

func newCommand(stdout, stderr io.Writer) *cobra.Command {
	var options runOptions
	root := &cobra.Command{
		Use:   "worker --config FILE --role tiger|eagle|all",
		Short: "Run the roles of Talon: tiger collects, eagle decompresses",
		Long: "Run one or both roles of Talon until SIGTERM or Ctrl-C. Temporal is found through TEMPORAL_ADDRESS and its kin, or a\n" +
			"temporal.toml; workers and starter meet there and need no other way to each other. Only tiger needs the FTP passwords.\n" +
			"On SIGTERM it takes no more work, hands large downloads over, lets the rest go on for --stop-grace and then ends; a second one ends it at\n" +
			"once. No work is lost either way.",
		Example: "  worker --config talon.yaml --role tiger\n  worker --config talon.yaml --role eagle --name eagle-2\n" +
			"  worker --config talon.yaml --role tiger --versioned --build-id 2026-11-28",
		Version: commandline.Version(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), options, stderr)
		},
	}
	root.Flags().StringVar(&options.config, "config", "talon.yaml", "configuration file")
	root.Flags().StringVar(&options.role, "role", "all", "tiger, eagle or all")
	root.Flags().StringVar(&options.name, "name", "", "name of this host in results (default: its host name)")
	root.Flags().StringVar(&options.logFormat, "log", "text", "log format: text or json")
	root.Flags().StringVar(&options.health, "health", "", "serve GET /health, /ready and /metrics on this address, such as 127.0.0.1:9090")
	root.Flags().DurationVar(&options.grace, "stop-grace", usualGrace, "how long running work may go on after SIGTERM; then it is handed over")
	root.Flags().BoolVar(&options.versioned, "versioned", false, "be a version of the worker deployment that is called like the queue, tiger or eagle")
	root.Flags().StringVar(&options.buildID, "build-id", "", "which version, with --versioned (default: the commit that this program was built from)")
	root.AddCommand(newExtractCommand(stdout))
	return root
}
