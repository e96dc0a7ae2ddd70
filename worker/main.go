// Command worker runs one or both of Talon's roles: tiger lists, downloads, publishes and seals; eagle extracts. It also runs the extraction
// engine alone, without Temporal: worker extract.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"talon/internal/archive/sandbox"
)

// exitUnusable is the exit code for what could not even start: bad configuration, no Temporal, bad arguments.
const exitUnusable = 3

// exitCode ends the program with a code of its own and says nothing more.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func main() {
	sandbox.RunIfChild()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newCommand(stdout, stderr)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	default:
		fmt.Fprintf(stderr, "worker: %v\n", err)
		return exitUnusable
	}
}

func newCommand(stdout, stderr io.Writer) *cobra.Command {
	var options runOptions
	root := &cobra.Command{
		Use:   "worker --config FILE --role tiger|eagle|all",
		Short: "Run the roles of Talon: tiger collects, eagle decompresses",
		Long: "Run one or both roles of Talon until SIGTERM or Ctrl-C. Temporal is found through TEMPORAL_ADDRESS and its kin, or a\n" +
			"temporal.toml; workers and starter meet there and need no other way to each other. Only tiger needs the FTP passwords.",
		Example:       "  worker --config talon.yaml --role tiger\n  worker --config talon.yaml --role eagle --name eagle-2",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
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
	root.SetFlagErrorFunc(seeHelp)
	return root
}

// seeHelp adds to an error in a command line where the right one is explained.
func seeHelp(command *cobra.Command, err error) error {
	return fmt.Errorf("%w (see %s --help)", err, command.CommandPath())
}

// version names the commit that the program was built from, and the compiler.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + ", " + info.GoVersion
}
