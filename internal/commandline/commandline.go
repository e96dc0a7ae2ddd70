// Package commandline is what the programs of this repository have in common: how they begin, how they end, and what they say then.
package commandline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// ExitUnusable is the exit code for what could not run: bad arguments or configuration, a server that is not there.
const ExitUnusable = 3

// ExitCode is an error that ends the program with a code of its own and says nothing more.
type ExitCode int

func (e ExitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Because is the end with code e of a program that says why.
func (e ExitCode) Because(err error) error { return &spoken{e, err} }

type spoken struct {
	code ExitCode
	error
}

func (s *spoken) Unwrap() error { return s.error }

// Main is the main function of a program that runs until it is done, or until SIGTERM or Ctrl-C, which end the context. A second one ends
// the program at once.
func Main(execute func(ctx context.Context, args []string, stdout, stderr io.Writer) (code int)) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Execute runs a command line and returns the exit code: that of an ExitCode, or ExitUnusable for any other error, which is written to
// stderr after the program's name.
func Execute(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(SeeHelp)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var code ExitCode
	var why *spoken
	switch {
	case err == nil:
		return 0
	case errors.As(err, &why):
		code = why.code
	case errors.As(err, &code):
		return int(code)
	default:
		code = ExitUnusable
	}
	fmt.Fprintf(stderr, "%s: %s\n", root.Name(), strings.TrimPrefix(err.Error(), root.Name()+": ")) // the name once
	return int(code)
}

// SeeHelp adds to an error in a command line where the right one is explained.
func SeeHelp(command *cobra.Command, err error) error {
	return fmt.Errorf("%w (see %s --help)", err, command.CommandPath())
}

// Build is the version of the program as a build stamps it, "(devel)" where it does not.
func Build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}

// Version names the commit that the program was built from, and the compiler.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + ", " + info.GoVersion
}

// NewLogger returns a logger in the format that a flag --log names, text or json, or an error that names the two.
func NewLogger(format string, w io.Writer) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	default:
		return nil, fmt.Errorf("there is no log format %q: use --log text or json", format)
	}
}
