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
			"temporal.toml; workers and starter meet there and need no other way to each other. Only tiger needs the FTP passwords.",
		Example: "  worker --config talon.yaml --role tiger\n  worker --config talon.yaml --role eagle --name eagle-2",
		Version: commandline.Version(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), options, stderr)
		},
	}
	root.Flags().StringVar(&options.config, "config", "talon.yaml", "configuration file")
	root.Flags().StringVar(&options.role, "role", "all", "tiger, eagle or all")
	root.Flags().StringVar(&options.name, "name", "", "name of this host in results (default: its host name)")
	root.Flags().StringVar(&options.logFormat, "log", "text", "log format: text or json")
	root.Flags().StringVar(&options.health, "health", "", "serve GET /health and /ready on this address, such as 127.0.0.1:9090")
	root.AddCommand(newExtractCommand(stdout))
	return root
}
