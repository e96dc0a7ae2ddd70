// Command starter is how people use Talon: it starts collections and decompressions, shows their progress and results, probes servers, and manages the schedule.
// Everything it knows it learns through Temporal, so it runs on any host that reaches Temporal.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"

	"talon/config/dial"
	"talon/internal/commandline"
	"talon/internal/tracing"
)

// app is a command's surroundings; tests set their own.
type app struct {
	stdout, stderr io.Writer
	dial           func(ctx context.Context) (client.Client, error)
}

func main() {
	commandline.Main(func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
		a := &app{stdout: stdout, stderr: stderr, dial: dialTemporal}
		return a.execute(ctx, args)
	})
}

// execute runs a command line and returns the exit code: 0, 1 and 2 are results.
func (a *app) execute(ctx context.Context, args []string) int {
	return commandline.Execute(ctx, a.command(), args, a.stdout, a.stderr)
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "starter",
		Short: "Collect files from the branches' FTP servers, decompress them, and see what became of each",
		Long: "Collect files from the branches' FTP servers, decompress them, and see what became of each. The work is done by Talon's workers; this\n" +
			"program talks to them through Temporal, which it finds through TEMPORAL_ADDRESS and its kin, or a temporal.toml.",
		Example: "  starter collect --wait\n  starter result 20261123-051500-ab12\n  starter probe branch-001\n  starter schedule create --every 15m",
		Version: commandline.Version(),
	}
	root.AddCommand(
		a.collectCommand(),
		a.decompressCommand(),
		a.resultCommand(),
		a.probeCommand(),
		a.scheduleCommand(),
		a.runsCommand(),
		a.serversCommand(),
		a.cancelCommand(),
		a.filesCommand(),
		a.statusCommand(),
		a.backfillCommand(),
		a.forgetCommand(),
		a.verifyCommand(),
		a.cleanCommand(),
		a.deploymentCommand(),
	)
	root.AddCommand(a.serverOrders()...)
	root.SetOut(a.stdout) // what follows remembers it
	addCompletion(root)
	a.complete(root)
	return root
}

// arguments demands one argument for each of the names in a command's usage line.
func arguments(names ...string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		switch {
		case len(args) == len(names):
			return nil
		case len(names) == 0:
			return commandline.SeeHelp(command, fmt.Errorf("%s takes no arguments, but there is %q", command.Name(), args[0]))
		default:
			return commandline.SeeHelp(command, fmt.Errorf("%s needs %s: %d given", command.Name(), strings.Join(names, " and "), len(args)))
		}
	}
}

func dialTemporal(ctx context.Context) (client.Client, error) {
	options := dial.Options{Logger: quietLogger(), Identity: fmt.Sprintf("starter-%d", os.Getpid())}
	traces, stop, err := tracing.Start(ctx, "talon-starter", slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return nil, err
	}
	if traces != nil {
		options.Interceptors = []interceptor.ClientInterceptor{traces}
	}
	connected, err := dial.Client(ctx, options)
	switch {
	case err != nil:
		stop()
		return nil, err
	case traces == nil:
		return connected, nil
	}
	return &traced{connected, stop}, nil
}

// traced is a client that sends its last traces when it is closed.
type traced struct {
	client.Client
	stop func()
}

func (t *traced) Close() {
	t.Client.Close()
	t.stop()
}
