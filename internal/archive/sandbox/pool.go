// Package sandbox extracts archives in child processes: the program's own binary, started again. Decoders that read hostile
// bytes there can exhaust the memory, spin or crash without taking anything else along, and reach no file, process or
// network that is not theirs.
package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"

	"talon/internal/archive"
)

// ErrClosed is returned by Extract when the pool is closed before or meanwhile.
var ErrClosed = errors.New("the pool of extraction children is closed")

// Options of a Pool. Only Scratch is needed.
type Options struct {
	// Scratch is a directory on the file system of the destinations, made if it is missing. Each child has a directory in it.
	Scratch string
	// Children is how many archives are extracted at a time at most, each in a child of its own. Default: runtime.NumCPU.
	Children int
	// Limits are those of the requests to come. A request with other limits of memory or file size gets another child.
	Limits archive.Limits
	// MaxJobs is how many archives a child extracts before another takes its place. Default: 1000.
	MaxJobs int
	// Command starts a child: a program that calls RunIfChild. Default: the running binary.
	Command []string
	// Log hears what the kernel cannot keep from children, and which of them died. Default: slog.Default.
	Log *slog.Logger
}

const defaultMaxJobs = 1000

// Pool keeps children for reuse. Its methods may be called from any goroutine.
type Pool struct {
	options     Options
	confinement Confinement
	slots       chan struct{}
	forker      *forker
	closing     context.Context
	close       context.CancelFunc

	mu      sync.Mutex
	closed  bool
	idle    []*child
	running sync.WaitGroup // calls of Extract
}

// NewPool starts the first child, to see that it can be done and what the kernel has to confine it, and logs what is
// missing. The caller must call Close.
func NewPool(options Options) (*Pool, error) {
	scratch, err := filepath.Abs(options.Scratch)
	if err != nil {
		return nil, err
	}
	options.Scratch = scratch
	options.Children = cmp.Or(options.Children, runtime.NumCPU())
	options.MaxJobs = cmp.Or(options.MaxJobs, defaultMaxJobs)
	options.Log = cmp.Or(options.Log, slog.Default())
	if len(options.Command) == 0 {
		options.Command = []string{"/proc/self/exe", childArgument}
	}
	p := &Pool{options: options, slots: make(chan struct{}, options.Children), forker: newForker()}
	p.closing, p.close = context.WithCancel(context.Background())
	first, err := p.start(p.closing, setupFor(options.Limits))
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.idle = []*child{first}
	p.confinement = first.confinement
	p.logMissing()
	return p, nil
}

// Confinement returns what the children have given up.
func (p *Pool) Confinement() Confinement { return p.confinement }

func (p *Pool) logMissing() {
	if p.confinement.Landlock == 0 {
		p.options.Log.Warn("this kernel has no Landlock for extraction children (Linux 5.19, and landlock among its security modules): " +
			"a decoder that a hostile archive took over could reach the files of this user")
	}
	if !p.confinement.Seccomp {
		p.options.Log.Warn("this kernel has no seccomp filters for extraction children (CONFIG_SECCOMP_FILTER): " +
			"a decoder that a hostile archive took over could reach the network and the processes of this user")
	}
}

// Close ends all children, waits for calls of Extract to return and removes what is left in the scratch directory.
func (p *Pool) Close() error {
	p.mu.Lock()
	closed := p.closed
	p.closed = true
	p.mu.Unlock()
	if closed {
		return nil
	}
	p.close()
	p.running.Wait()
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	var errs []error
	for _, c := range idle {
		errs = append(errs, c.end())
	}
	p.forker.stop()
	return errors.Join(errs...)
}

// enter registers a call of Extract. The returned context also ends when the pool is closed; leave ends the call.
func (p *Pool) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, ErrClosed
	}
	p.running.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(p.closing, cancel)
	return ctx, func() {
		unhook()
		cancel()
		p.running.Done()
	}, nil
}

// wait waits for the right to have a child at work. release gives it back.
func (p *Pool) wait(ctx context.Context) (release func(), err error) {
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// take returns an idle child, or a new one if there is none or fresh is asked for. Those that were set up for other limits,
// or whose directory somebody cleaned away, make room.
func (p *Pool) take(ctx context.Context, s setup, fresh bool) (*child, error) {
	for !fresh {
		c := p.pop()
		if c == nil {
			break
		}
		if c.setup == s && c.hasDir() {
			return c, nil
		}
		if err := c.end(); err != nil {
			return nil, err
		}
	}
	return p.start(ctx, s)
}

func (p *Pool) pop() *child {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	last := len(p.idle) - 1
	c := p.idle[last]
	p.idle = p.idle[:last]
	return c
}

// give takes a healthy child back, if it may go on.
func (p *Pool) give(c *child) error {
	if c.grown || c.jobs >= p.options.MaxJobs {
		return c.end()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, c)
	return nil
}

// forker starts processes from one thread that lives until all of them have ended: the kernel kills a process with
// Pdeathsig when the thread that started it ends, and Go may end any other thread.
type forker struct {
	work chan func()
	done chan struct{}
}

func newForker() *forker {
	f := &forker{work: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for work := range f.work {
			work()
		}
	}()
	return f
}

func (f *forker) do(work func() error) error {
	result := make(chan error, 1)
	f.work <- func() { result <- work() }
	return <-result
}

func (f *forker) stop() {
	close(f.work)
	<-f.done
}

func setupFor(l archive.Limits) setup {
	l = l.WithDefaults()
	return setup{MemoryBytes: l.MemoryBytes, FileBytes: l.FileBytes}
}

var errNoStart = errors.New("an extraction child did not start")

func noStart(err error) error { return fmt.Errorf("%w: %w", errNoStart, err) }
