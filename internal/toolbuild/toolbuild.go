// Package toolbuild finds programs that Talon runs beside itself, such as the Temporal CLI, or builds them from the tools module that
// pins their versions: once, into the user's cache.
package toolbuild

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

	"talon/internal/subprocess"
)

const (
	buildReport = 10 * time.Second // between two signs of life
	lockPoll    = 200 * time.Millisecond
	buildGrace  = 5 * time.Second
	tailLines   = 20 // of what the compiler wrote, in an error
)

// ErrNoVersion tells that the tools module does not require the tool.
var ErrNoVersion = errors.New("no version")

// Tool is a program that the tools module pins.
type Tool struct {
	Name    string // for messages: "the Temporal CLI"
	Env     string // environment variable that may point to a ready one: "TALON_TEMPORAL_CLI"
	Binary  string // its name on PATH, and in the cache before "-" and the version: "temporal"
	Module  string // path of its module: "github.com/temporalio/cli"
	Package string // path of its main package: "github.com/temporalio/cli/cmd/temporal"
	Takes   string // how long a build takes, for who waits: "about 4 minutes"
}

// Options say where a tool may come from.
type Options struct {
	ToolsDir string    // directory with the go.mod that pins the tool
	CacheDir string    // keeps what was built; default: talon in the user's cache directory
	Log      io.Writer // hears of a build and of its progress; nil: nobody

	report time.Duration // between two signs of life; tests shorten it
}

// FindOrBuild returns the path of a tool: the one that its environment variable names, else the one on PATH, else the one in the
// cache, which is built first if need be: once, also when several processes ask at the same moment. It is built static, without
// cgo and without the paths of this machine in it.
func FindOrBuild(ctx context.Context, tool Tool, opts Options) (string, error) {
	if named := os.Getenv(tool.Env); named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("%s: %w", tool.Env, err)
		}
		return path, nil
	}
	if path, err := exec.LookPath(tool.Binary); err == nil {
		return path, nil
	}
	b, err := newBuilder(tool, opts)
	if err != nil {
		return "", err
	}
	if isExecutable(b.target) {
		return b.target, nil
	}
	return b.target, b.buildLocked(ctx)
}

// builder makes one version of a tool.
type builder struct {
	Tool
	Options
	target string // path in the cache
}

// newBuilder names the target after the tool's version, so that a new pin is a new build.
func newBuilder(tool Tool, opts Options) (*builder, error) {
	b := &builder{Tool: tool, Options: opts}
	if b.Log == nil {
		b.Log = io.Discard
	}
	if b.report == 0 {
		b.report = buildReport
	}
	if b.CacheDir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("no place for %s, name a cache directory: %w", b.Name, err)
		}
		b.CacheDir = filepath.Join(user, "talon")
	}
	version, err := b.version()
	if err != nil {
		return nil, err
	}
	b.target, err = filepath.Abs(filepath.Join(b.CacheDir, b.Binary+"-"+version))
	return b, err
}

// version finds the pinned version in the tools module, in a block or in a line of its own.
func (b *builder) version() (string, error) {
	path := filepath.Join(b.ToolsDir, "go.mod")
	module, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("version of %s: %w", b.Name, err)
	}
	requirement := regexp.MustCompile(`(?m)^\s*(?:require\s+)?` + regexp.QuoteMeta(b.Module) + `\s+(v\S+)`)
	match := requirement.FindSubmatch(module)
	if match == nil {
		return "", fmt.Errorf("%w of %s in %s", ErrNoVersion, b.Module, path)
	}
	return string(match[1]), nil
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// buildLocked builds the tool unless the process that held the lock before has done it.
func (b *builder) buildLocked(ctx context.Context) error {
	if err := os.MkdirAll(b.CacheDir, 0o755); err != nil {
		return fmt.Errorf("cache of %s: %w", b.Name, err)
	}
	lock, err := lockFile(ctx, b.target+".lock", func() {
		fmt.Fprintf(b.Log, "another process is building %s, waiting for it\n", b.Name)
	})
	if err != nil {
		return fmt.Errorf("cache of %s: %w", b.Name, err)
	}
	defer lock.Close()
	if isExecutable(b.target) {
		return nil
	}
	return b.build(ctx)
}

// build compiles into a directory beside the target, on the same file system, and renames: a build that was cut short is
// never taken for a binary.
func (b *builder) build(ctx context.Context) (err error) {
	scratch, err := os.MkdirTemp(b.CacheDir, "build-")
	if err != nil {
		return fmt.Errorf("build %s: %w", b.Name, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()

	fmt.Fprintf(b.Log, "building %s (%s) into %s: %s, once\n", b.Name, filepath.Base(b.target), b.CacheDir, b.Takes)
	binary := filepath.Join(scratch, b.Binary)
	if err := b.compile(ctx, binary); err != nil {
		return fmt.Errorf("build %s: %w", b.Name, err)
	}
	if err := os.Rename(binary, b.target); err != nil {
		return fmt.Errorf("build %s: %w", b.Name, err)
	}
	fmt.Fprintf(b.Log, "%s is ready\n", b.Name)
	return nil
}

// compile runs `go build -v`, which names every package it has compiled: that is the sign of life.
func (b *builder) compile(ctx context.Context, binary string) error {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	output := &buildProgress{}
	build, err := subprocess.Start(subprocess.Options{
		Name: "go build", Path: goTool, Stdout: output, Stderr: output,
		Args: []string{"build", "-C", b.ToolsDir, "-v", "-trimpath", "-o", binary, b.Package},
		Env:  append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off"),
	})
	if err != nil {
		return err
	}
	began, ticker := time.Now(), time.NewTicker(b.report)
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
			fmt.Fprintf(b.Log, "  still building, %s so far: %s\n", time.Since(began).Round(time.Second), output)
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
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
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
