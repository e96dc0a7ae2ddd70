// Command gateway offers tiger's archives and takes eagle's bundles over S3, for eagles on other hosts.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// exitUnusable is the exit code for what could not start: bad arguments, no versitygw.
const exitUnusable = 3

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{Use: "gateway", SilenceUsage: true, SilenceErrors: true}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(newFindCommand(stdout, stderr))
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "gateway: %v\n", err)
		return exitUnusable
	}
	return 0
}
