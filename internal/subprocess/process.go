// Package subprocess runs child programs that leave nothing behind: a child dies with the process that started it, also when
// that one is killed, and takes its descendants with it. Linux only.
package subprocess

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pollInterval   = 20 * time.Millisecond // how often a log or a port is looked at while something starts
	outputDrain    = 2 * time.Second       // what a dead child's output may still take to arrive
	logTailLines   = 20
	logTailMaxRead = 64 << 10
)

// ErrKilled tells that a process did not stop when it was asked to and had to be killed.
var ErrKilled = errors.New("killed")

// ErrExited tells that a process ended while it was expected to run.
var ErrExited = errors.New("process ended")

// Options describe a child program.
type Options struct {
	Name string   // for messages: "tiger worker"
	Path string   // program
	Args []string // without the program's name
	Env  []string // the whole environment; nil: that of this process
	Dir  string   // working directory; "" : that of this process
	// LogFile, if set, receives standard output and standard error, appended; its directory is created.
	LogFile string
	// Standard streams without a LogFile; nil is /dev/null.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Foreground keeps the child in this process's own group, as a program must be that draws on the terminal and receives
	// its Ctrl-C. Otherwise it leads a group of its own, and its descendants in that group are killed when it ends.
	Foreground bool
}

// Process is a running child program. It is killed by the kernel when this process ends, whatever the reason. Its methods
// may be called from several goroutines.
type Process struct {
	name       string
	foreground bool
	logFile    string
	logStart   int64 // where this process's part of the log begins

	done chan struct{} // closed when the process was reaped and its output is complete
	err  error         // what exec.Cmd.Wait returned; valid when done is closed

	mu     sync.Mutex
	pid    int
	exited bool // the process ended: its ID may belong to another one soon
}

// Start starts a child program.
func Start(opts Options) (*Process, error) {
	cmd := exec.Command(opts.Path, opts.Args...)
	cmd.Env, cmd.Dir = opts.Env, opts.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = opts.Stdin, opts.Stdout, opts.Stderr
	cmd.WaitDelay = outputDrain
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !opts.Foreground, Pdeathsig: syscall.SIGKILL}

	p := &Process{name: opts.Name, foreground: opts.Foreground, logFile: opts.LogFile, done: make(chan struct{})}
	if opts.LogFile != "" {
		log, err := p.openLog()
		if err != nil {
			return nil, err
		}
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
	}
	started := make(chan error, 1)
	go p.supervise(cmd, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", opts.Name, err)
	}
	return p, nil
}

func (p *Process) openLog() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(p.logFile), 0o755); err != nil {
		return nil, fmt.Errorf("log of %s: %w", p.name, err)
	}
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", p.name, err)
	}
	if p.logStart, err = log.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(fmt.Errorf("log of %s: %w", p.name, err), log.Close())
	}
	return log, nil
}

// supervise starts the program and waits for its end on one OS thread: the kernel sends the parent-death signal when the
// thread that forked ends, and the Go runtime ends idle threads as it likes (https://github.com/golang/go/issues/27505).
func (p *Process) supervise(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil

	awaitExit(p.pid)
	p.mu.Lock()
	if !p.foreground {
		// The ended leader is not reaped yet, so the group's ID cannot belong to anybody else.
		_ = unix.Kill(-p.pid, unix.SIGKILL)
	}
	p.exited = true
	p.mu.Unlock()
	p.err = cmd.Wait()
	close(p.done)
}

// awaitExit blocks until the child has ended and leaves it to be reaped.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// Name returns the name given in the options.
func (p *Process) Name() string { return p.name }

// Pid returns the process ID.
func (p *Process) Pid() int { return p.pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait blocks until the process has ended: nil for exit code 0, else the *exec.ExitError.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// ExitCode blocks until the process has ended and returns its exit code, -1 if a signal ended it.
func (p *Process) ExitCode() int {
	err := p.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		return -1
	}
}

// Signal sends a signal to the process and, unless it is in the foreground, to its whole group. A process that has ended is
// not signalled, which is no error.
func (p *Process) Signal(signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exited {
		return nil
	}
	target := p.pid
	if !p.foreground {
		target = -p.pid
	}
	if err := unix.Kill(target, signal); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send %s to %s: %w", signal, p.name, err)
	}
	return nil
}

// Stop asks the process to end (SIGTERM), kills it when the grace has passed, and returns when it has ended: nil, or an
// error that wraps ErrKilled. How the process itself took it is what Wait tells.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	if err := p.Kill(); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w, it did not stop within %s", p.name, ErrKilled, grace)
}

// Kill ends the process at once (SIGKILL) and returns when it has ended.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// WaitForLog blocks until this process has written text to its log file. A process that ends before is an error that wraps
// ErrExited and carries the end of the log; so is the end of ctx, with its cause.
func (p *Process) WaitForLog(ctx context.Context, text string) error {
	return p.WaitUntil(ctx, fmt.Sprintf("wrote %q", text), func() bool {
		written, err := p.ReadLog(0)
		return err == nil && bytes.Contains(written, []byte(text))
	})
}

// WaitUntil blocks until ready, which it polls while the process lives, says so. A process that ends before is an error that wraps
// ErrExited, names what it has not done ("opened its port"), and carries the end of the log; so is the end of ctx, with its cause.
func (p *Process) WaitUntil(ctx context.Context, what string, ready func() bool) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s has not %s: %w%s", p.name, what, context.Cause(ctx), p.LogTail())
		case <-p.done:
			if ready() {
				return nil
			}
			return fmt.Errorf("%s: %w before it %s (%s)%s", p.name, ErrExited, what, exitText(p.err), p.LogTail())
		case <-ticker.C:
		}
	}
	return nil
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// LogTail returns the last lines of the process's log file, indented under a headline, or "" if there is none. Of a program that ended in a panic it
// returns the panic instead of the end of its stack.
func (p *Process) LogTail() string {
	written, err := p.ReadLog(logTailMaxRead)
	text := strings.TrimSpace(string(written))
	if err != nil || text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	first := max(0, len(lines)-logTailLines)
	if i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "panic: ") }); i >= 0 {
		first = i
	}
	lines = lines[first:min(len(lines), first+logTailLines)]
	return fmt.Sprintf("\n  the last lines of %s:\n    %s", p.logFile, strings.Join(lines, "\n    "))
}

// ReadLog returns what this process wrote to its log file, the last limit bytes of it (0: all).
func (p *Process) ReadLog(limit int64) ([]byte, error) {
	log, err := os.Open(p.logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return nil, err
	}
	start := p.logStart
	if limit > 0 {
		start = max(start, info.Size()-limit)
	}
	return io.ReadAll(io.NewSectionReader(log, start, info.Size()-start))
}
