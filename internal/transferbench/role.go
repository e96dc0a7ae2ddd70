package transferbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"
	"time"

	"go.temporal.io/sdk/worker"

	"talon/internal/subprocess"
)

// Talon's parts run as they do in service, each in a process of its own: this program, started again. What it is asked to do
// comes over its standard input and output, one call of net/rpc each.
const roleArgument = "transferbench-role"

// Roles.
const (
	roleTiger   = "tiger"
	roleEagle   = "eagle"
	roleGateway = "gateway"
)

// role is what a child is for: its exported methods are called.
type role interface {
	// close ends what the role has begun.
	close() error
}

// RunIfChild never returns in a process that this package started as a child. A program that measures calls it first thing in
// main, after sandbox.RunIfChild.
func RunIfChild() {
	if len(os.Args) != 4 || os.Args[1] != roleArgument {
		return
	}
	signal.Ignore(syscall.SIGPIPE) // whoever calls may give a call up
	if err := serve(os.Args[2], os.Args[3], struct {
		io.Reader
		io.WriteCloser
	}{os.Stdin, os.Stdout}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve answers calls until there are no more, and leaves a profile of its CPU time in a file, if one is named.
func serve(name, profile string, calls io.ReadWriteCloser) (err error) {
	part, known := map[string]role{roleTiger: &tiger{}, roleEagle: &eagle{}, roleGateway: &door{}}[name]
	if !known {
		return fmt.Errorf("there is no role %q", name)
	}
	if profile != "" {
		file, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // a profile is no result
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	// Else the first activity of a process reads the whole program, once, as a worker does when it starts.
	worker.SetBinaryChecksum(roleArgument)
	server := rpc.NewServer()
	if err := server.RegisterName(name, part); err != nil {
		return err
	}
	server.ServeCodec(jsonrpc.NewServerCodec(calls))
	return part.close()
}

// child is a process with a role, as the process that measures sees it.
type child struct {
	role    string
	process *subprocess.Process
	calls   *rpc.Client
}

// childGrace is how long a child may take to end what it has begun.
const childGrace = 30 * time.Second

// startChild starts a role. profile is a file for its CPU time, or "".
func startChild(role, profile string, log io.Writer) (*child, error) {
	theirInput, ourOutput, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirInput.Close() //nolint:errcheck // the child has it
	ourInput, theirOutput, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, ourOutput.Close())
	}
	defer theirOutput.Close() //nolint:errcheck // the child has it
	process, err := subprocess.Start(subprocess.Options{
		Name: role, Path: "/proc/self/exe", Args: []string{roleArgument, role, profile}, Stdin: theirInput, Stdout: theirOutput, Stderr: log,
	})
	if err != nil {
		return nil, errors.Join(err, ourOutput.Close(), ourInput.Close())
	}
	stream := struct {
		io.Reader
		io.Writer
		io.Closer
	}{ourInput, ourOutput, closers{ourOutput, ourInput}}
	return &child{role, process, rpc.NewClientWithCodec(jsonrpc.NewClientCodec(stream))}, nil
}

type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, closer := range c {
		errs = append(errs, closer.Close())
	}
	return errors.Join(errs...)
}

// call has the child do something. It does not wait longer than ctx.
func (c *child) call(ctx context.Context, method string, in, out any) error {
	call := c.calls.Go(c.role+"."+method, in, out, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if call.Error != nil {
		return fmt.Errorf("%s: %w", c.role, call.Error)
	}
	return nil
}

// end lets the child end by itself: there are no more calls.
func (c *child) end() error {
	err := c.calls.Close()
	timer := time.NewTimer(childGrace)
	defer timer.Stop()
	select {
	case <-c.process.Done():
		return errors.Join(err, c.failure())
	case <-timer.C:
		return errors.Join(err, fmt.Errorf("%s did not end within %s", c.role, childGrace), c.process.Kill())
	}
}

func (c *child) failure() error {
	var exit *exec.ExitError
	if errors.As(c.process.Wait(), &exit) {
		return fmt.Errorf("%s: %w", c.role, exit)
	}
	return nil
}

// profileIn names the file of a role's profile below a directory, "" if there is none.
func profileIn(dir, contender, role string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, fmt.Sprintf("%s-%s.pprof", contender, role))
}
