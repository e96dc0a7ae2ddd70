// Command extractbench is `make bench-extract`: it measures `worker extract` beside the usual programs.
//
// Exit codes: 0 it could measure, however fast Talon is; 1 Talon has not extracted what it should have; 3 it could not run.
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
	"strings"
	"syscall"

	"talon/internal/extractbench"
)

// Exit codes.
const (
	exitWrong    = 1
	exitUnusable = 3
)

var errWrong = errors.New("talon has not extracted what it should have")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case errors.Is(err, errWrong):
		fmt.Fprintln(os.Stderr, "extractbench:", err)
		os.Exit(exitWrong) //nolint:gocritic // nothing is left to be released
	default:
		fmt.Fprintln(os.Stderr, "extractbench:", err)
		os.Exit(exitUnusable)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	options := extractbench.Options{Scale: extractbench.Full, Fetch: true, Log: stderr}
	var names, output string
	flags := flag.NewFlagSet("extractbench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&options.Worker, "worker", "bin/worker", "the worker program")
	flags.StringVar(&names, "cases", "", "cases, separated by commas (default all): "+strings.Join(extractbench.Cases(), ", "))
	flags.IntVar(&options.Rounds, "rounds", 5, "how often each program runs")
	flags.StringVar(&options.Cache, "cache", "", "directory that keeps the archives (default: talon in the user's cache)")
	flags.StringVar(&output, "o", "table", "output format: table or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := complete(&options, flags.Args(), names, output); err != nil {
		return err
	}
	result, err := extractbench.Run(ctx, options)
	if err != nil {
		return err
	}
	if output == "json" {
		err = result.PrintJSON(stdout)
	} else {
		result.PrintTables(stdout)
	}
	if err == nil && !result.Verified() {
		err = errWrong
	}
	return err
}

// complete checks the command line and fills in what it leaves open.
func complete(options *extractbench.Options, rest []string, names, output string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case output != "table" && output != "json":
		return fmt.Errorf("there is no output format %q: use -o table or json", output)
	case options.Rounds < 1:
		return fmt.Errorf("%d rounds are too few", options.Rounds)
	}
	if names != "" {
		options.Cases = strings.Split(names, ",")
	}
	if options.Cache == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		options.Cache = filepath.Join(cache, "talon")
	}
	return nil
}
