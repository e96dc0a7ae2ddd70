package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"talon/internal/devstack"
)

// collect runs the starter on this terminal, tells where to look, and returns the exit code that the outcome deserves.
func (s *session) collect(ctx context.Context) (int, error) {
	if err := os.RemoveAll(s.dir.RunFile()); err != nil { // that of an earlier session
		return 0, err
	}
	code, err := s.await(ctx, devstack.ProcessOptions{
		Name: "starter", Path: s.program("starter"), Env: s.environment(), Foreground: true,
		Args:  []string{"collect", "--config", s.configFile, "--wait", "--run-file", s.dir.RunFile()},
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		return 0, err
	}
	name, err := os.ReadFile(s.dir.RunFile())
	if err != nil {
		return 0, fmt.Errorf("the starter ended with exit code %d and left no run: %w", code, err)
	}
	run := strings.TrimSpace(string(name))
	if s.isDemo() {
		if code, err = s.judge(ctx, run); err != nil {
			return 0, err
		}
	}
	s.tell(run)
	return code, nil
}

// await runs a program to its end and returns its exit code. It is stopped when ctx ends, and when a child dies that it
// would wait for in vain.
func (s *session) await(ctx context.Context, opts devstack.ProcessOptions) (int, error) {
	process, err := s.start(opts)
	if err != nil {
		return 0, err
	}
	select {
	case <-process.Done():
		err = nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case err = <-s.died:
	}
	if err != nil {
		return 0, errors.Join(err, process.Stop(starterGrace))
	}
	if ctx.Err() != nil { // Ctrl-C reaches the starter, too, and it may have been faster
		return 0, context.Cause(ctx)
	}
	return process.ExitCode(), nil
}

// judge fetches the result as JSON and compares it and the warehouses with what the branches deserve.
func (s *session) judge(ctx context.Context, run string) (int, error) {
	var result bytes.Buffer
	code, err := s.await(ctx, devstack.ProcessOptions{
		Name: "starter", Path: s.program("starter"), Env: s.environment(), Args: []string{"result", run, "-o", "json"},
		Stdout: &result, Stderr: os.Stderr,
	})
	if err != nil {
		return 0, err
	}
	if code < 0 || code >= exitUnusable {
		return 0, fmt.Errorf("the starter cannot show the result of %s: exit code %d", run, code)
	}
	if err := os.WriteFile(s.dir.Result(), result.Bytes(), 0o644); err != nil {
		return 0, fmt.Errorf("keep the result: %w", err)
	}
	if err := devstack.Verify(s.dir.Warehouse(), s.branches, result.Bytes()); err != nil {
		fmt.Fprintf(s.out, "\nNOT what the branches deserve:\n%v\n", err)
		return exitDeviation, nil
	}
	s.praise()
	return 0, nil
}

func (s *session) praise() {
	var files, whole, corrupt, unavailable int
	for _, branch := range s.branches {
		files += len(branch.Expect.Files)
		if branch.Fault != devstack.Healthy {
			unavailable++
		}
		for _, archive := range branch.Expect.Archives {
			if archive.Result == 0 {
				whole++
			} else {
				corrupt++
			}
		}
	}
	fmt.Fprintf(s.out, "\nExactly what the branches deserve: all %d files and the contents of %d archives are there with the right SHA-256,\n"+
		"nothing else is, %d corrupt archive and %d unavailable branches have their reasons, and the books balance.\n",
		files, whole, corrupt, unavailable)
}

// tell says where the run can be looked at, and what to type next.
func (s *session) tell(run string) {
	fmt.Fprintf(s.out, "\nWeb UI: %s/namespaces/%s/workflows/%s\n", s.temporal.UIAddress(), devstack.Namespace, url.PathEscape(run))
	if s.isDemo() {
		fmt.Fprintf(s.out, "Files:  %s (zip: collected, unzip: extracted)\n", s.dir.Warehouse())
	}
	fmt.Fprintf(s.out, "Logs:   %s\n", s.dir.Log("*"))
	fmt.Fprintf(s.out, "Health: %s: /health, /ready, /metrics\n", strings.Join(s.health, ", "))
	if s.once {
		return
	}
	fmt.Fprintf(s.out, "\nNext, in another terminal:\n  export TEMPORAL_ADDRESS=%s\n", s.temporal.Address())
	for _, arguments := range []string{"status", "servers", "result " + run, "collect --wait", "schedule create"} {
		fmt.Fprintf(s.out, "  %s %s\n", s.program("starter"), arguments)
	}
}
