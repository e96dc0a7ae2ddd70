// Command starter is how people use Talon: it starts collections and decompressions, shows their progress and results, and manages the schedule.
// Everything it knows it learns through Temporal, so it runs on any host that reaches Temporal.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
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
	a := &app{stdout: os.Stdout, stderr: os.Stderr, dial: dialTemporal}
	os.Exit(a.execute(ctx, os.Args[1:]))
}

// execute runs a command line and returns the exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := &cobra.Command{
		Use:           "starter",
		Short:         "Collect files from the branches' FTP servers, decompress them, and see what became of each",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(a.collectCommand(), a.decompressCommand(), a.resultCommand(), a.scheduleCommand())
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
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

func dialTemporal(ctx context.Context) (client.Client, error) {
	return dial.Client(ctx, dial.Options{Logger: quietLogger(), Identity: fmt.Sprintf("starter-%d", os.Getpid())})
}
