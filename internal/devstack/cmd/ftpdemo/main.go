// Command ftpdemo plays a branch of the demo: an FTP server with files that are the same each time. It forgets what clients change.
//
// Exit codes: 0 it was told to stop; 3 it could not run.
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

	"talon/internal/devstack"
)

const exitUnusable = 3

// options are the command line.
type options struct {
	branch, listen, password string
	passive                  [2]int
	seed                     uint64
	bulk                     int
	manifest                 bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = run(ctx, o, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "ftpdemo:", err)
		return exitUnusable
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("ftpdemo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.branch, "branch", "", "the branch to play: "+strings.Join(devstack.SiteNames(), ", "))
	flags.StringVar(&o.listen, "listen", ":2121", "address of the FTP server")
	flags.StringVar(&o.password, "password-file", "", "file that holds the password of the user collector, and nothing else")
	flags.IntVar(&o.passive[0], "passive-from", 0, "first port for data connections (default: the kernel's choice)")
	flags.IntVar(&o.passive[1], "passive-to", 0, "last port for data connections")
	flags.Uint64Var(&o.seed, "seed", 1, "another seed gives other files")
	flags.IntVar(&o.bulk, "bulk", 0, "so many archives of 12 MiB more, to make a run take its time")
	flags.BoolVar(&o.manifest, "manifest", false, "serve nothing: print what a collection has to leave in the warehouse, for sha256sum --check")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.password == "" && !o.manifest:
		return o, errors.New("--password-file is missing")
	case (o.passive[0] == 0) != (o.passive[1] == 0) || o.passive[0] > o.passive[1]:
		return o, fmt.Errorf("--passive-from %d --passive-to %d is no range of ports", o.passive[0], o.passive[1])
	case o.bulk < 0:
		return o, fmt.Errorf("--bulk %d is less than none", o.bulk)
	}
	return o, nil
}

func run(ctx context.Context, o options, stdout, stderr io.Writer) error {
	branch, err := devstack.SiteBranch(o.branch, o.seed, o.bulk)
	if err != nil {
		return err
	}
	if o.manifest {
		return branch.WriteManifest(stdout)
	}
	server, err := start(&branch, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "%s serves %d files on %s\n", branch.Name, len(branch.Files), server.Addr())
	branch = devstack.Branch{} // the server has its own copy of the files
	<-ctx.Done()
	return server.Stop()
}

func start(branch *devstack.Branch, o options) (*devstack.FTPServer, error) {
	password, err := os.ReadFile(o.password)
	if err != nil {
		return nil, err
	}
	secret := strings.TrimSpace(string(password))
	if secret == "" {
		return nil, fmt.Errorf("%s is empty: it must hold the password", o.password)
	}
	files, err := branch.FS()
	if err != nil {
		return nil, err
	}
	return devstack.StartFTP(devstack.FTPOptions{
		Users: map[string]string{branch.User: secret}, FS: files, Addr: o.listen, PassivePorts: o.passive,
	})
}
