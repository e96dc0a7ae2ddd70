// Command temporalproxy is the front of a Temporal server without TLS and authorizer, such as the embedded one: see package temporalproxy.
//
// Exit codes: 0 stopped by SIGTERM or Ctrl-C, or healthy; 1 not healthy; 3 it could not run.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/spf13/cobra"

	"talon/internal/commandline"
	"talon/internal/temporalproxy"
)

// Exit codes.
const (
	exitSick     = 1
	exitUnusable = commandline.ExitUnusable
)

// stopGrace is how long calls may go on after a request to stop.
const stopGrace = 10 * time.Second

func main() { commandline.Main(execute) }

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return commandline.Execute(ctx, newCommand(stderr), args, stdout, stderr)
}

func newCommand(stderr io.Writer) *cobra.Command {
	var (
		options temporalproxy.Options
		listen  string
		format  string
	)
	root := &cobra.Command{
		Use:   "temporalproxy --upstream HOST:PORT --cert FILE --key FILE --client-ca FILE",
		Short: "Let the hosts of Talon, and nobody else, to a Temporal server, each as far as its role needs",
		Long: "Ask whoever connects for a certificate of the authority in --client-ca, and pass on to the Temporal server what the role in it\n" +
			"(its Organizational Unit) may do: tiger and starter everything in one namespace but to change it, eagle what a worker of the task\n" +
			"queue eagle needs. Temporal itself should listen on a loopback address only. Files are read again when they change.",
		Example: "  temporalproxy --upstream 127.0.0.1:7234 --cert gateway.crt --key gateway.key --client-ca ca.crt\n" +
			"  temporalproxy check --address localhost:7233 --cert gateway.crt --key gateway.key --ca ca.crt",
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			var err error
			if options.Log, err = commandline.NewLogger(format, stderr); err != nil {
				return err
			}
			return serve(command.Context(), listen, options)
		},
	}
	flags := root.Flags()
	flags.StringVar(&listen, "listen", ":7233", "address to listen on")
	flags.StringVar(&options.Upstream, "upstream", "127.0.0.1:7234", "host and port of the Temporal server")
	flags.StringVar(&options.Cert, "cert", "", "file of the certificate to show, for servers (PEM)")
	flags.StringVar(&options.Key, "key", "", "file of its private key (PEM)")
	flags.StringVar(&options.ClientCA, "client-ca", "", "file of the authority that callers' certificates are from (PEM)")
	flags.StringVar(&options.Namespace, "namespace", temporalproxy.DefaultNamespace, "the namespace that callers may use")
	flags.StringVar(&format, "log", "text", "log format: text or json")
	for _, required := range []string{"cert", "key", "client-ca"} {
		_ = root.MarkFlagRequired(required)
	}
	root.AddCommand(newCheckCommand())
	return root
}

// serve runs the front until ctx ends.
func serve(ctx context.Context, address string, options temporalproxy.Options) error {
	front, err := temporalproxy.New(options)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		front.Stop(ctx)
		return err
	}
	served := make(chan error, 1)
	go func() { served <- front.Serve(listener) }()
	options.Log.Info("temporalproxy listens", "address", listener.Addr().String(), "upstream", options.Upstream, "namespace", options.Namespace)
	select {
	case err = <-served:
		front.Stop(ctx)
		return err
	case <-ctx.Done():
	}
	options.Log.Info("temporalproxy stops", "grace", stopGrace)
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	front.Stop(limited)
	return <-served
}

func newCheckCommand() *cobra.Command {
	var (
		check temporalproxy.HealthCheck
		limit time.Duration
	)
	command := &cobra.Command{
		Use:   "check --cert FILE --key FILE --ca FILE",
		Short: "Ask a running temporalproxy whether Temporal is healthy, for health checks of containers",
		Long: "Ask a running temporalproxy whether Temporal is healthy. Any certificate for clients of the authority will do: a gateway's own, if it\n" +
			"was issued with --server --client. Exit code 0: healthy; 1: not.",
		Example: "  temporalproxy check --address localhost:7233 --cert gateway.crt --key gateway.key --ca ca.crt",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(command.Context(), limit)
			defer cancel()
			if err := check.Run(ctx); err != nil {
				return commandline.ExitCode(exitSick).Because(fmt.Errorf("not healthy: %w", err))
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.StringVar(&check.Address, "address", "localhost:7233", "address of the temporalproxy")
	flags.StringVar(&check.Cert, "cert", "", "file of a certificate for clients (PEM)")
	flags.StringVar(&check.Key, "key", "", "file of its private key (PEM)")
	flags.StringVar(&check.CA, "ca", "", "file of the authority that the temporalproxy's certificate is from (PEM)")
	flags.StringVar(&check.ServerName, "server-name", "", "name in the temporalproxy's certificate (default: the host of --address)")
	flags.DurationVar(&limit, "timeout", 5*time.Second, "how long to wait for the answer")
	for _, required := range []string{"cert", "key", "ca"} {
		_ = command.MarkFlagRequired(required)
	}
	return command
}
