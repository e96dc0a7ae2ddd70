// Command pki makes a private certificate authority, and certificates for the hosts of an installation.
//
// Exit codes: 0 done; 3 it could not, and nothing has been overwritten.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"talon/internal/commandline"
	"talon/internal/pki"
)

const exitUnusable = commandline.ExitUnusable

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// execute runs the command line and returns the exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:   "pki",
		Short: "Make the private certificate authority of an installation, and certificates for its hosts",
	}
	root.AddCommand(newInitCommand(), newIssueCommand())
	return commandline.Execute(context.Background(), root, args, stdout, stderr)
}

func newInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Make an authority in DIR",
		Long: "Make an authority in DIR: ca.crt, which every host gets, and ca.key (mode 0600), which leaves DIR never: whoever has it may\n" +
			"issue certificates for every role. It is valid for ten years. An authority that is there already is not overwritten.",
		Example: "  pki init ~/talon-ca",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if _, err := pki.NewCA(args[0]); err != nil {
				return err
			}
			fmt.Fprintf(command.OutOrStdout(), "made an authority in %s; keep %s/%s to yourself\n", args[0], args[0], pki.CAKeyFile)
			return nil
		},
	}
}

func newIssueCommand() *cobra.Command {
	var (
		request pki.Request
		days    int
		out     string
	)
	command := &cobra.Command{
		Use:   "issue DIR NAME --out OUTDIR --server|--client [--host HOST]...",
		Short: "Issue a certificate from the authority in DIR",
		Long: "Issue a certificate from the authority in DIR into OUTDIR: NAME.crt, NAME.key and ca.crt, which is all that a host needs. The\n" +
			"role (Organizational Unit) says what the holder may do; temporalproxy knows tiger, starter and eagle.\n\n" +
			"Issue it again before it expires: the certificate is replaced in one step and keeps its key, so a program that reads the files in that\n" +
			"moment sees a whole pair.",
		Example: "  pki issue ~/talon-ca gateway --server --host gateway --host 10.0.0.5 --out gateway-tls\n" +
			"  pki issue ~/talon-ca eagle-2 --client --role eagle --days 90 --out eagle-2-tls",
		Args: cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			if days < 1 {
				return fmt.Errorf("--days %d: a certificate is valid for one day at least", days)
			}
			ca, err := pki.OpenCA(args[0])
			if err != nil {
				return err
			}
			request.Name, request.Lifetime = args[1], time.Duration(days)*24*time.Hour
			files, err := ca.IssueTo(out, request)
			if err != nil {
				return err
			}
			fmt.Fprintf(command.OutOrStdout(), "%s\n%s\n%s\n", files.Cert, files.Key, files.CA)
			return nil
		},
	}
	flags := command.Flags()
	flags.BoolVar(&request.Server, "server", false, "for a server")
	flags.BoolVar(&request.Client, "client", false, "for a client")
	flags.StringArrayVar(&request.Hosts, "host", nil, "name or address by which clients reach the server; may be repeated")
	flags.StringVar(&request.Role, "role", "", "what the holder is: tiger, starter, eagle (default NAME)")
	flags.IntVar(&days, "days", int(pki.DefaultLifetime/(24*time.Hour)), "how many days it is valid")
	flags.StringVar(&out, "out", "", "directory for the files; made if it is not there")
	flags.BoolVar(&request.NewKey, "new-key", false, "replace the key as well; stop the programs that use it first")
	_ = command.MarkFlagRequired("out")
	return command
}
