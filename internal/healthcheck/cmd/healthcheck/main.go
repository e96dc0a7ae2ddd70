// Command healthcheck asks a server once whether it is well, for the HEALTHCHECK of a container. See --help.
//
// Exit codes: 0 well; 1 not, for the reason on stderr; 3 the command line is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"talon/internal/healthcheck"
)

// Exit codes beside 0. Docker reserves 2 (https://docs.docker.com/reference/dockerfile/#healthcheck).
const (
	exitUnhealthy = 1
	exitUnusable  = 3
)

const usage = `usage: healthcheck [--ca FILE] [--cert FILE --key FILE] [--timeout 4s] URL

  http://HOST:PORT/PATH, https://…     wants a status of 2xx
  grpc://HOST:PORT/SERVICE, grpcs://…  wants SERVING (grpc.health.v1); without SERVICE of the server as a whole
  ftp://HOST:PORT                      wants the greeting 220
  tcp://HOST:PORT                      wants a connection

`

func main() { os.Exit(execute(context.Background(), os.Args[1:], os.Stderr)) }

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stderr io.Writer) int {
	var options healthcheck.Options
	flags := flag.NewFlagSet("healthcheck", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&options.CA, "ca", "", "PEM file of the authorities to trust (default: the system's)")
	flags.StringVar(&options.Cert, "cert", "", "PEM file of the certificate to show")
	flags.StringVar(&options.Key, "key", "", "PEM file of its private key")
	timeout := flags.Duration("timeout", 4*time.Second, "how long the server may take")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUnusable
	case flags.NArg() != 1:
		fmt.Fprintf(stderr, "healthcheck: one URL is needed, %d given\n", flags.NArg())
		return exitUnusable
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	switch err := healthcheck.Check(ctx, flags.Arg(0), options); {
	case err == nil:
		return 0
	case errors.Is(err, healthcheck.ErrURL):
		fmt.Fprintln(stderr, "healthcheck:", err)
		return exitUnusable
	default:
		fmt.Fprintln(stderr, "healthcheck:", err)
		return exitUnhealthy
	}
}
