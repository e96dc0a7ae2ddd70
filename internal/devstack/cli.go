package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// CLIEnv names the environment variable that points to a ready Temporal CLI.
const CLIEnv = "TALON_TEMPORAL_CLI"

const (
	cliPackage  = "github.com/temporalio/cli/cmd/temporal"
	buildReport = 10 * time.Second // between two signs of life
	lockPoll    = 200 * time.Millisecond
	buildGrace  = 5 * time.Second
)

// cliRequirement finds the pinned version in a go.mod, in a block or in a line of its own.
var cliRequirement = regexp.MustCompile(`(?m)^\s*(?:require\s+)?github\.com/temporalio/cli\s+(v\S+)`)

// ErrNoCLIVersion tells that the tools module does not require the Temporal CLI.
var ErrNoCLIVersion = errors.New("no version of github.com/temporalio/cli")

// CLIOptions say where the Temporal CLI may come from.
type CLIOptions struct {
	ToolsDir string    // directory with the go.mod that pins the CLI
	CacheDir string    // keeps what was built; default: talon in the user's cache directory
	Log      io.Writer // hears of a build and of its progress; nil: nobody

	report time.Duration // between two signs of life; tests shorten it
}

// FindOrBuildCLI returns the path of a Temporal CLI: the one that TALON_TEMPORAL_CLI names, else `temporal` on PATH, else
// the one in the cache, which is built first if need be: once, also when several processes ask at the same moment.
func FindOrBuildCLI(ctx context.Context, opts CLIOptions) (string, error) {
	if named := os.Getenv(CLIEnv); named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("%s: %w", CLIEnv, err)
		}
		return path, nil
	}
	if path, err := exec.LookPath("temporal"); err == nil {
		return path, nil
	}
	cached, err := opts.cachedPath()
	if err != nil {
		return "", err
	}
	if isExecutable(cached) {
		return cached, nil
	}
	return cached, opts.buildLocked(ctx, cached)
}

// cachedPath names the binary after its version, so that a new pin is a new build.
func (o *CLIOptions) cachedPath() (string, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.report == 0 {
		o.report = buildReport
	}
	if o.CacheDir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no place for the Temporal CLI, name a cache directory: %w", err)
		}
		o.CacheDir = filepath.Join(user, "talon")
	}
	module, err := os.ReadFile(filepath.Join(o.ToolsDir, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("version of the Temporal CLI: %w", err)
	}
	match := cliRequirement.FindSubmatch(module)
	if match == nil {
		return "", fmt.Errorf("%w in %s", ErrNoCLIVersion, filepath.Join(o.ToolsDir, "go.mod"))
	}
	return filepath.Abs(filepath.Join(o.CacheDir, "temporal-"+string(match[1])))
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// buildLocked builds the CLI unless the process that held the lock before has done it.
func (o *CLIOptions) buildLocked(ctx context.Context, target string) error {
	if err := os.MkdirAll(o.CacheDir, 0o755); err != nil {
		return fmt.Errorf("cache of the Temporal CLI: %w", err)
	}
	lock, err := lockFile(ctx, target+".lock", func() {
		fmt.Fprintln(o.Log, "another process is building the Temporal CLI, waiting for it")
	})
	if err != nil {
		return fmt.Errorf("cache of the Temporal CLI: %w", err)
	}
	defer lock.Close()
	if isExecutable(target) {
		return nil
	}
	return o.build(ctx, target)
}

// build compiles into a directory beside the target, on the same file system, and renames: a build that was cut short is
// never taken for a binary.
func (o *CLIOptions) build(ctx context.Context, target string) (err error) {
	scratch, err := os.MkdirTemp(o.CacheDir, "build-")
	if err != nil {
		return fmt.Errorf("build the Temporal CLI: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()

	fmt.Fprintf(o.Log, "building the Temporal CLI (%s) into %s: about 4 minutes, once\n", filepath.Base(target), o.CacheDir)
	binary := filepath.Join(scratch, "temporal")
	if err := o.compile(ctx, binary); err != nil {
		return fmt.Errorf("build the Temporal CLI: %w", err)
	}
	if err := os.Rename(binary, target); err != nil {
		return fmt.Errorf("build the Temporal CLI: %w", err)
	}
	fmt.Fprintln(o.Log, "the Temporal CLI is ready")
	return nil
}

// compile runs `go build -v`, which names every package it has compiled: that is the sign of life.
func (o *CLIOptions) compile(ctx context.Context, binary string) error {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	output := &buildProgress{}
	build, err := StartProcess(ProcessOptions{
		Name: "go build", Path: goTool, Stdout: output, Stderr: output,
		Args: []string{"build", "-C", o.ToolsDir, "-v", "-o", binary, cliPackage},
		Env:  append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off"),
	})
	if err != nil {
		return err
	}
	began, ticker := time.Now(), time.NewTicker(o.report)
	defer ticker.Stop()
	for {
		select {
		case <-build.Done():
			if err := build.Wait(); err != nil {
				return fmt.Errorf("%w\n%s", err, output.tail())
			}
			return nil
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), build.Stop(buildGrace))
		case <-ticker.C:
			fmt.Fprintf(o.Log, "  still building, %s so far: %s\n", time.Since(began).Round(time.Second), output)
		}
	}
}

// buildProgress collects what `go build -v` writes: a line per module that was downloaded or package that was compiled.
type buildProgress struct {
	mu    sync.Mutex
	lines []string
	part  string
}

// Write implements io.Writer.
func (b *buildProgress) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := strings.Split(b.part+string(data), "\n")
	b.part = lines[len(lines)-1]
	b.lines = append(b.lines, lines[:len(lines)-1]...)
	return len(data), nil
}

// String tells how far the build is.
func (b *buildProgress) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) == 0 {
		return "the compiler has not reported yet"
	}
	return fmt.Sprintf("%d modules and packages done, the last was %s", len(b.lines), b.lines[len(b.lines)-1])
}

func (b *buildProgress) tail() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	if b.part != "" {
		lines = append(lines[:len(lines):len(lines)], b.part)
	}
	return strings.Join(lines[max(0, len(lines)-logTailLines):], "\n")
}

// lockFile takes an exclusive lock on the file at path, creating it; closing the file gives the lock back, and so does the
// end of the process. busy is called once if somebody else holds the lock.
func lockFile(ctx context.Context, path string, busy func()) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		if busy != nil {
			busy()
			busy = nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, context.Cause(ctx)), file.Close())
		case <-time.After(lockPoll):
		}
	}
}
