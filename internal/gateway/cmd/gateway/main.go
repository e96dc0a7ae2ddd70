// Command gateway offers tiger's archives to eagles on other hosts, and takes their bundles, over S3. It is what a container or systemd runs
// on tiger's host; versitygw, which it starts and watches, must be beside it or on PATH.
package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"talon/internal/commandline"
)

// exitUnusable is the exit code for what could not start: bad arguments, no versitygw, no warehouse.
const exitUnusable = commandline.ExitUnusable

func main() { commandline.Main(execute) }

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return commandline.Execute(ctx, newCommand(stdout, stderr), args, stdout, stderr)
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
		Version: commandline.Version(),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), options, stdout, stderr)
		},
	}
	options.addFlags(root)
	root.AddCommand(newHealthCommand(stdout), newFindCommand(stdout, stderr))
	root.CompletionOptions.DisableDefaultCmd = true
	return root
}
