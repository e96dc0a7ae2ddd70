// Command starter is how people use Talon: it starts collections and decompressions, shows their progress and results, probes servers, and manages the schedule.
// Everything it knows it learns through Temporal, so it runs on any host that reaches Temporal.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"talon/config/dial"
)

// exitUnusable is the exit code for what could not run: bad arguments or configuration, no Temporal. 0, 1 and 2 are results.
const exitUnusable = 3

// resultCode ends the program with a result as its exit code.
type resultCode int

func (r resultCode) Error() string { return fmt.Sprintf("result %d", int(r)) }

// app is a command's surroundings; tests set their own.
type app struct {
	stdout, stderr io.Writer
	dial           func(ctx context.Context) (client.Client, error)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	a := &app{stdout: os.Stdout, stderr: os.Stderr, dial: dialTemporal}
	os.Exit(a.execute(ctx, os.Args[1:]))
}

// execute runs a command line and returns the exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var code resultCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	default:
		fmt.Fprintf(a.stderr, "starter: %v\n", err)
		return exitUnusable
	}
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "starter",
		Short: "Collect files from the branches' FTP servers, decompress them, and see what became of each",
		Long: "Collect files from the branches' FTP servers, decompress them, and see what became of each. The work is done by Talon's workers; this\n" +
			"program talks to them through Temporal, which it finds through TEMPORAL_ADDRESS and its kin, or a temporal.toml.",
		Example:       "  starter collect --wait\n  starter result 20261123-051500-ab12\n  starter probe branch-001\n  starter schedule create --every 15m",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(a.collectCommand(), a.decompressCommand(), a.resultCommand(), a.scheduleCommand(), a.probeCommand())
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(seeHelp)
	return root
}

// seeHelp adds to an error in a command line where the right one is explained.
func seeHelp(command *cobra.Command, err error) error {
	return fmt.Errorf("%w (see %s --help)", err, command.CommandPath())
}

// arguments demands one argument for each of the names in a command's usage line.
func arguments(names ...string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		switch {
		case len(args) == len(names):
			return nil
		case len(names) == 0:
			return seeHelp(command, fmt.Errorf("%s takes no arguments, but there is %q", command.Name(), args[0]))
		default:
			return seeHelp(command, fmt.Errorf("%s needs %s: %d given", command.Name(), strings.Join(names, " and "), len(args)))
		}
	}
}

// version names the commit that the program was built from, and the compiler.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + ", " + info.GoVersion
}

func dialTemporal(ctx context.Context) (client.Client, error) {
	return dial.Client(ctx, dial.Options{Logger: quietLogger(), Identity: fmt.Sprintf("starter-%d", os.Getpid())})
}
