// Command gateway offers tiger's archives to eagles on other hosts, and takes their bundles, over S3. It is what a container or systemd runs
// on tiger's host; versitygw, which it starts and watches, must be beside it or on PATH.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// exitUnusable is the exit code for what could not start: bad arguments, no versitygw, no warehouse.
const exitUnusable = 3

func main() {
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
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "gateway: %s\n", strings.TrimPrefix(err.Error(), "gateway: "))
		return exitUnusable
	}
	return 0
}

func newCommand(stdout, stderr io.Writer) *cobra.Command {
	var options serveOptions
	root := &cobra.Command{
		Use:   "gateway --warehouse DIR --state DIR --eagle-key FILE --tls-cert FILE --tls-key FILE",
		Short: "Let eagles on other hosts fetch archives and deliver bundles, over S3",
		Long: "Serve two buckets until SIGTERM or Ctrl-C: zip, in which eagles can read what tiger has collected, and stage, in which they\n" +
			"can make new bundles. Nothing else of the warehouse is within reach, and nothing can be listed, replaced or removed.\n\n" +
			"Run it as the user that tiger runs as. zip may be mounted read-only; DIR/stage and --state must be writable. Key files and\n" +
			"the certificate are read again when they change. On Linux 5.13 and later the kernel keeps the program to these places (Landlock).",
		Example: "  gateway --warehouse /srv/talon --state /var/lib/talon-gateway --listen :7070 \\\n" +
			"    --tls-cert gateway.crt --tls-key gateway.key --eagle-key eagle-1.key --eagle-key eagle-2.key",
		Version:       version(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), options, stdout, stderr)
		},
	}
	options.addFlags(root)
	root.AddCommand(newHealthCommand(stdout), newFindCommand(stdout, stderr))
	root.CompletionOptions.DisableDefaultCmd = true
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
