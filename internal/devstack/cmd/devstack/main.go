// Command devstack is `make run`: the whole of Talon on one machine, on an embedded Temporal server with its Web UI. Without
// arguments it collects from demo branches, judges the outcome, and stays until Ctrl-C; see the flags for the rest. It leaves
// no process behind, however it ends.
//
// Exit codes: with the demo 0 exactly when the outcome is what the branches deserve, 1 if it is not; with a configuration of
// one's own the starter's code (0, 1 and 2 are the result); 3 if it could not run, 130 if it was interrupted before the result.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/term"
)

// Exit codes beside the results 0, 1 and 2.
const (
	exitDeviation   = 1
	exitUnusable    = 3
	exitInterrupted = 130
)

var errInterrupted = errors.New("interrupted")

// options are the command line.
type options struct {
	config string // the user's configuration; "": the demo
	once   bool   // do not stay after the result
	cli    bool   // only find or build the Temporal CLI
	dir    string // data directory
	bin    string // directory of worker and starter
	cache  string // directory for the Temporal CLI
	tools  string // directory of the go.mod that pins the Temporal CLI
}

func (o options) isDemo() bool { return o.config == "" }

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("devstack", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.config, "config", "", "collect from the servers of this configuration instead of the demo's")
	flags.BoolVar(&o.once, "once", false, "stop everything after the result; so it is anyway without a terminal")
	flags.BoolVar(&o.cli, "cli", false, "only find the Temporal CLI, or build it, and print its path")
	flags.StringVar(&o.dir, "dir", "", "data directory (default ./data/demo, cleaned by each run; with --config ./data/run, kept)")
	flags.StringVar(&o.bin, "bin", "bin", "directory with the programs worker and starter")
	flags.StringVar(&o.cache, "cache", "", "directory that keeps the Temporal CLI once it is built (default: talon in the user's cache)")
	flags.StringVar(&o.tools, "tools", "tools", "directory of the go.mod that pins the Temporal CLI")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.dir == "" {
		o.dir = filepath.Join("data", "demo")
		if !o.isDemo() {
			o.dir = filepath.Join("data", "run")
		}
	}
	return o, nil
}

func main() {
	opts, err := parseOptions(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintln(os.Stderr, "devstack:", err)
		os.Exit(exitUnusable)
	}
	opts.once = opts.once || !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd()))
	os.Exit(run(opts))
}

// run plays a session from its start to the end of all it started.
func run(opts options) int {
	s := &session{options: opts, out: os.Stdout, died: make(chan error, maxChildren)}
	ctx, release := s.watchSignals()
	defer release()
	play := s.play
	if opts.cli {
		play = s.findCLI
	}
	code, err := play(ctx)
	if ctx.Err() != nil {
		fmt.Fprintln(s.out, "\nstopping everything; Ctrl-C again kills it")
	}
	if err := errors.Join(err, s.stop()); err != nil {
		fmt.Fprintln(os.Stderr, "devstack:", err)
	}
	return code
}

// watchSignals returns a context that ends with the first request to stop (Ctrl-C, SIGTERM, a terminal that is closed). The
// second one kills everything on the spot.
func (s *session) watchSignals() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		cancel(errInterrupted)
		<-signals
		s.kill()
		os.Exit(exitInterrupted)
	}()
	return ctx, func() { cancel(nil) }
}
