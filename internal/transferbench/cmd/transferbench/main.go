// Command transferbench is `make bench-transfer`: it measures how fast what an eagle has extracted gets into tiger's unzip warehouse, beside
// other ways to bring a directory to another host.
//
// Exit codes: 0 it could measure, however fast Talon is; 1 Talon has not delivered what it should have; 3 it could not run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"talon/internal/archive/sandbox"
	"talon/internal/gateway"
	"talon/internal/transferbench"
)

// Exit codes.
const (
	exitWrong    = 1
	exitUnusable = 3
)

var errWrong = errors.New("talon has not delivered what it should have")

func main() {
	sandbox.RunIfChild()
	transferbench.RunIfChild()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case errors.Is(err, errWrong):
		fmt.Fprintln(os.Stderr, "transferbench:", err)
		os.Exit(exitWrong) //nolint:gocritic // nothing is left to be released
	default:
		fmt.Fprintln(os.Stderr, "transferbench:", err)
		os.Exit(exitUnusable)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	options := transferbench.Options{Scale: transferbench.Full, Fetch: true, Log: stderr}
	var cases, contenders, output, tools string
	flags := flag.NewFlagSet("transferbench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&cases, "cases", "", "cases, separated by commas (default all): "+strings.Join(transferbench.Cases(), ", "))
	flags.StringVar(&contenders, "contenders", "", "contenders, separated by commas (default all): "+strings.Join(transferbench.Contenders(), ", "))
	flags.IntVar(&options.Rounds, "rounds", 5, "how often each contender runs")
	flags.DurationVar(&options.Budget, "budget", 5*time.Minute, "a contender that takes longer for all rounds of a case runs in fewer")
	flags.BoolVar(&options.Memory, "memory", false, "measure the memory of Talon's processes instead")
	flags.StringVar(&options.Dir, "dir", "", "where tiger's files are (default: where temporary files go): its disk is measured, too")
	flags.StringVar(&options.EagleDir, "eagle-dir", "", "where the other host's files are (default: in memory, or as --dir)")
	flags.StringVar(&options.Profiles, "profiles", "", "existing directory for CPU profiles of Talon's processes")
	flags.StringVar(&tools, "tools", "tools", "directory of the go.mod that pins versitygw")
	flags.StringVar(&output, "o", "table", "output format: table or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := complete(&options, flags.Args(), cases, contenders, output); err != nil {
		return err
	}
	var err error
	if options.Versitygw, err = gateway.FindOrBuild(ctx, gateway.FindOptions{ToolsDir: tools, Log: stderr}); err != nil {
		return err
	}
	result, err := transferbench.Run(ctx, options)
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
func complete(options *transferbench.Options, rest []string, cases, contenders, output string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case output != "table" && output != "json":
		return fmt.Errorf("there is no output format %q: use -o table or json", output)
	case options.Rounds < 1:
		return fmt.Errorf("%d rounds are too few", options.Rounds)
	}
	if cases != "" {
		options.Cases = strings.Split(cases, ",")
	}
	if contenders != "" {
		options.Contenders = strings.Split(contenders, ",")
	}
	return nil
}
