package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"talon/internal/archive"
)

// startPatience is how long a child may take until it says hello.
const startPatience = time.Minute

// child is a child process as its parent sees it.
type child struct {
	cmd         *exec.Cmd
	conn        *net.UnixConn
	in          *bufio.Reader
	stderr      *head
	dir         string // its scratch directory
	setup       setup
	confinement Confinement
	jobs        int  // archives that it was given
	grown       bool // it has used up much of its address space
}

// start starts a child and waits for its hello.
func (p *Pool) start(ctx context.Context, s setup) (*child, error) {
	if err := os.MkdirAll(p.options.Scratch, 0o700); err != nil {
		return nil, noStart(err)
	}
	dir, err := os.MkdirTemp(p.options.Scratch, "child-")
	if err != nil {
		return nil, noStart(err)
	}
	c := &child{dir: dir, setup: s, stderr: &head{}}
	theirs, err := c.connect()
	if err != nil {
		return nil, errors.Join(noStart(err), removeTree(dir))
	}
	command := p.options.Command
	c.cmd = exec.Command(command[0], command[1:]...)
	c.cmd.Dir, c.cmd.Stderr, c.cmd.ExtraFiles = dir, c.stderr, []*os.File{theirs}
	c.cmd.Env = []string{"GOTRACEBACK=none"}                                           // stacks would push the reason for them out of sight
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true} // no Ctrl-C either
	err = p.forker.do(c.cmd.Start)
	_ = theirs.Close() // only the child has it now: its end is the end of the stream
	if err != nil {
		return nil, errors.Join(noStart(err), c.conn.Close(), removeTree(dir))
	}
	if err := c.greet(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), c.end())
		}
		err = fmt.Errorf("%w %s", err, c.stderr.reason())
		return nil, errors.Join(noStart(err), c.end())
	}
	return c, nil
}

// connect makes the two ends of the conversation, and returns the child's.
func (c *child) connect() (theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "child"), os.NewFile(uintptr(pair[1]), "parent")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, errors.Join(err, theirs.Close())
	}
	c.conn = conn.(*net.UnixConn)
	c.in = bufio.NewReaderSize(c.conn, 64<<10)
	return theirs, nil
}

func (c *child) greet(ctx context.Context) error {
	defer context.AfterFunc(ctx, c.kill)()
	if err := c.conn.SetDeadline(time.Now().Add(startPatience)); err != nil {
		return err
	}
	frame, err := jsonFrame(kindSetup, c.setup)
	if err != nil {
		return err
	}
	if _, err := c.conn.Write(frame); err != nil {
		return err
	}
	if err := readJSON(c.in, kindHello, &c.confinement); err != nil {
		return err
	}
	return c.conn.SetDeadline(time.Time{})
}

// kill makes the child end at once. wait must follow.
func (c *child) kill() { _ = c.cmd.Process.Kill() }

// wait waits for the end of the process; what it wrote to stderr is complete then.
func (c *child) wait() *os.ProcessState {
	_ = c.cmd.Wait()
	return c.cmd.ProcessState
}

// end ends the child, and removes what it has left.
func (c *child) end() error {
	c.kill()
	c.wait()
	return errors.Join(c.conn.Close(), removeTree(c.dir))
}

func (c *child) tree() string { return filepath.Join(c.dir, treeName) }

func (c *child) hasDir() bool {
	_, err := os.Stat(c.dir)
	return err == nil
}

// head keeps the beginning of what a child writes to stderr, where a Go program says why it ends.
type head struct{ text []byte }

// Write implements io.Writer.
func (h *head) Write(p []byte) (int, error) {
	const enough = 64 << 10
	h.text = append(h.text, p[:min(len(p), enough-len(h.text))]...)
	return len(p), nil
}

// reason is the line that says why the process ended, if there is one. The rest may be contents of an archive.
func (h *head) reason() string {
	const long = 200
	for line := range strings.Lines(string(h.text)) {
		for _, mark := range []string{"fatal error: ", "panic: ", "runtime: out of memory"} {
			if strings.HasPrefix(line, mark) {
				return strings.ToValidUTF8(strings.TrimSpace(line[:min(len(line), long)]), "?")
			}
		}
	}
	return ""
}

// outOfMemory says whether the Go runtime ended because it got no more memory.
func (h *head) outOfMemory() bool {
	for _, words := range []string{"out of memory", "cannot allocate memory", "cannot map pages", "failed to reserve page summary"} {
		if strings.Contains(string(h.text), words) {
			return true
		}
	}
	return false
}

// death is why a child did not finish an archive. It is no error of the pool.
type death struct {
	reason archive.Reason
	detail string
	open   []string // the layers that were being decoded, the latest last
	sure   bool     // the latest of them is to blame, or the whole archive if none was open
	final  bool     // it would be the same with every child
}

// Error implements error.
func (d *death) Error() string { return d.detail }
