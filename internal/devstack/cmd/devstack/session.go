package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"talon/config"
	"talon/internal/devstack"
)

const (
	demoSeed = 20260630 // any number does; the same one makes the same branches

	maxChildren      = 8
	workerStartLimit = 60 * time.Second
	// healthPort is where tiger answers /health, /ready and /metrics, and eagle on the next one, unless they are taken.
	healthPort = 9090
	// workerGrace is longer than what a worker gives its running activities to save a checkpoint.
	workerGrace  = 40 * time.Second
	starterGrace = 5 * time.Second
)

// session is one run of the program and all that it has started.
type session struct {
	options
	out  io.Writer
	died chan error // a child that should still run has ended

	dir        *devstack.DataDir
	configFile string
	branches   []devstack.Branch // of the demo
	temporal   *devstack.Temporal
	fleet      *devstack.Fleet

	mu        sync.Mutex
	health    []string            // where the workers answer
	processes []*devstack.Process // workers and starter, for stop and kill
}

// play does everything up to the point where things are to be stopped, and returns the exit code.
func (s *session) play(ctx context.Context) (int, error) {
	for _, step := range []func(context.Context) error{s.prepare, s.startTemporal, s.startBranches, s.startWorkers} {
		if err := step(ctx); err != nil {
			return s.failure(ctx), err
		}
	}
	code, err := s.collect(ctx)
	if err != nil {
		return s.failure(ctx), err
	}
	if s.once {
		return code, nil
	}
	fmt.Fprintln(s.out, "\nEverything keeps running. Ctrl-C stops it.")
	select {
	case <-ctx.Done():
		return code, nil
	case err := <-s.died:
		return exitUnusable, err
	}
}

func (s *session) failure(ctx context.Context) int {
	if ctx.Err() != nil {
		return exitInterrupted
	}
	return exitUnusable
}

// prepare finds out early what cannot work: before a build of minutes, and before anything runs.
func (s *session) prepare(context.Context) (err error) {
	for _, program := range []string{"worker", "starter"} {
		if _, err := os.Stat(s.program(program)); err != nil {
			return fmt.Errorf("%w: `make build` makes it", err)
		}
	}
	if !s.isDemo() {
		if s.configFile, err = filepath.Abs(s.config); err != nil {
			return err
		}
		if _, err := config.Load(s.configFile); err != nil {
			return err
		}
	}
	if s.dir, err = devstack.OpenDataDir(s.options.dir, s.isDemo()); err != nil {
		return fmt.Errorf("%w: stop the other one or name another directory with --dir", err)
	}
	if s.isDemo() {
		fmt.Fprintf(s.out, "The demo works in %s and starts afresh there.\n", s.dir.Path())
	} else {
		fmt.Fprintf(s.out, "Temporal's database and all logs are in %s and stay there.\n", s.dir.Path())
	}
	return nil
}

// program returns the path of one of Talon's programs.
func (s *session) program(name string) string { return filepath.Join(s.bin, name) }

// findCLI is all that a test run needs: the minutes of a first build pass where they can be seen.
func (s *session) findCLI(ctx context.Context) (int, error) {
	cli, err := s.temporalCLI(ctx)
	if err != nil {
		return s.failure(ctx), err
	}
	fmt.Fprintln(s.out, "Temporal CLI:", cli)
	return 0, nil
}

func (s *session) temporalCLI(ctx context.Context) (string, error) {
	return devstack.FindOrBuildCLI(ctx, devstack.CLIOptions{ToolsDir: s.tools, CacheDir: s.cache, Log: s.out})
}

func (s *session) startTemporal(ctx context.Context) error {
	cli, err := s.temporalCLI(ctx)
	if err != nil {
		return err
	}
	s.temporal, err = devstack.StartTemporal(ctx, devstack.TemporalOptions{
		CLI: cli, DBFile: s.dir.Database(), Log: s.dir.Log("temporal"),
		// One writer and many small commits: the log spares most of the waiting for the disk.
		SQLitePragmas: map[string]string{"journal_mode": "wal", "synchronous": "normal"},
	})
	if err != nil {
		return err
	}
	go s.watch("the Temporal server", s.temporal.Done(), s.temporal.LogTail)
	fmt.Fprintf(s.out, "Temporal server at %s, Web UI at %s\n", s.temporal.Address(), s.temporal.UIAddress())
	return nil
}

// startBranches starts the demo's FTP servers and writes the configuration that names them.
func (s *session) startBranches(context.Context) (err error) {
	if !s.isDemo() {
		return nil
	}
	s.branches = devstack.Branches(demoSeed)
	if s.fleet, err = devstack.StartFleet(s.branches); err != nil {
		return err
	}
	s.configFile = s.dir.Config()
	fmt.Fprintf(s.out, "%d branches, one with a wrong password and one that is down; configuration in %s\n",
		len(s.branches), s.configFile)
	return devstack.WriteConfig(s.configFile, s.dir.Warehouse(), s.branches, s.fleet.Ports())
}

// startWorkers starts a tiger and an eagle and returns when both are at work.
func (s *session) startWorkers(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, workerStartLimit, fmt.Errorf("not within %s", workerStartLimit))
	defer cancel()
	var workers []*devstack.Process
	for i, role := range []string{"tiger", "eagle"} {
		port, err := devstack.FreePort(healthPort + i)
		if err != nil {
			return err
		}
		health := fmt.Sprintf("127.0.0.1:%d", port)
		s.health = append(s.health, fmt.Sprintf("http://%s (%s)", health, role))
		worker, err := s.start(devstack.ProcessOptions{
			Name: role + " worker", Path: s.program("worker"), Env: s.environment(), LogFile: s.dir.Log(role),
			Args: []string{"--config", s.configFile, "--role", role, "--name", role, "--health", health},
		})
		if err != nil {
			return err
		}
		workers = append(workers, worker)
	}
	for _, worker := range workers {
		if err := worker.WaitForLog(ctx, "worker started"); err != nil {
			return err
		}
		go s.watch("the "+worker.Name(), worker.Done(), worker.LogTail)
	}
	fmt.Fprintf(s.out, "tiger and eagle are at work (processes %d and %d)\n\n", workers[0].Pid(), workers[1].Pid())
	return nil
}

// environment is that of Talon's programs: this Temporal server, and nothing the user has set for another one.
func (s *session) environment() []string {
	return append(devstack.WithoutTemporalEnv(os.Environ()), "TEMPORAL_ADDRESS="+s.temporal.Address())
}

// start starts a process that stop and kill know of.
func (s *session) start(opts devstack.ProcessOptions) (*devstack.Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	process, err := devstack.StartProcess(opts)
	if err == nil {
		s.processes = append(s.processes, process)
	}
	return process, err
}

// watch reports a child that ends.
func (s *session) watch(name string, done <-chan struct{}, tail func() string) {
	<-done
	s.died <- fmt.Errorf("%s: %w%s", name, devstack.ErrExited, tail())
}

// stop ends what runs, in the order of who needs whom: workers and starter, then FTP servers, then Temporal.
func (s *session) stop() error {
	s.mu.Lock()
	processes := slices.Clone(s.processes)
	s.mu.Unlock()
	failures := make([]error, len(processes))
	var group sync.WaitGroup
	for i, process := range processes {
		group.Go(func() { failures[i] = process.Stop(workerGrace) })
	}
	group.Wait()
	if s.fleet != nil {
		failures = append(failures, s.fleet.Stop())
	}
	if s.temporal != nil {
		failures = append(failures, s.temporal.Stop())
	}
	if s.dir != nil {
		failures = append(failures, s.dir.Close())
	}
	return errors.Join(failures...)
}

// kill ends workers and starter with all their descendants at once. What else runs dies with this process.
func (s *session) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, process := range s.processes {
		_ = process.Kill() // there is nobody left to tell
	}
}
