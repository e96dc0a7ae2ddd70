package sandbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"talon/internal/archive"
)

const (
	childArgument = "extraction-child"
	socketFD      = 3      // what exec.Cmd.ExtraFiles begins with
	treeName      = "tree" // where a child extracts to, in its scratch directory
)

// RunIfChild must be called first thing in main (and in TestMain) of every program that makes a Pool: in a process that a
// pool has started it extracts archives until the pool has no more, and ends the process. Elsewhere it does nothing.
func RunIfChild() {
	if len(os.Args) != 2 || os.Args[1] != childArgument {
		return
	}
	if err := serve(); err != nil {
		fmt.Fprintf(os.Stderr, "panic: %v\n", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve() error {
	conn, err := parentSocket()
	if err != nil {
		return err
	}
	var s setup
	if err := readJSON(conn, kindSetup, &s); err != nil {
		return err
	}
	statm, err := os.Open("/proc/self/statm")
	if err != nil {
		return err
	}
	c, err := confine(s)
	if err != nil {
		return err
	}
	hello, err := jsonFrame(kindHello, c)
	if err != nil {
		return err
	}
	if _, err := conn.Write(hello); err != nil {
		return err
	}
	w := &worker{conn: conn, statm: statm, enough: c.AddressSpace - min(c.AddressSpace, uint64(s.MemoryBytes)/2)}
	for {
		if err := w.next(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

func parentSocket() (*net.UnixConn, error) {
	file := os.NewFile(socketFD, "parent")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("only a pool can start this: %w", err)
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("only a pool can start this")
	}
	return socket, nil
}

// worker is the child's side of the conversation.
type worker struct {
	conn   *net.UnixConn
	statm  *os.File
	enough uint64 // bytes of address space after which another child is to take over

	mu sync.Mutex // progress is told while something else is
}

// next does one job. The error ends the child.
func (w *worker) next() error {
	j, fds, err := receiveJob(w.conn)
	if err != nil {
		return err
	}
	defer closeAll(fds)
	report, failed := archive.Extract(context.Background(), archive.Request{
		Archive: j.Archive, Volumes: j.Volumes, Open: opener(j.Volumes, fds), Name: j.Name,
		Dest: treeName, Limits: j.Limits, Passwords: j.Passwords, Encodings: j.Encodings, Avoid: j.Avoid, Parallel: j.Parallel,
		Watch: w,
	})
	o := outcome{Report: report}
	if failed != nil {
		o.Failure = newFailure(failed)
	} else if err := writeLists(report, w.write); err != nil {
		return err
	}
	o.Report.Files, o.Report.Refused, o.Report.Layers = nil, nil, nil
	size, err := readSize(w.statm)
	if err != nil {
		return err
	}
	o.Grown = size > w.enough
	done, err := jsonFrame(kindDone, o)
	if err != nil {
		return err
	}
	return w.write(done)
}

// opener opens files by the descriptors that came for their paths.
func opener(paths []string, fds []int) func(string) (*os.File, error) {
	return func(path string) (*os.File, error) {
		for i, fd := range fds {
			if i >= len(paths) || paths[i] != path {
				continue
			}
			again, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return nil, &os.PathError{Op: "open", Path: path, Err: err}
			}
			return os.NewFile(uintptr(again), path), nil
		}
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

func (w *worker) write(frame []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.conn.Write(frame)
	return err
}

// tell writes a frame, or ends the process: nobody wants the work of a child without a parent.
func (w *worker) tell(k kind, body []byte) {
	if err := w.write(appendFrame(nil, k, body)); err != nil {
		os.Exit(1)
	}
}

// Opened implements archive.Watcher.
func (w *worker) Opened(layer string) { w.tell(kindOpened, []byte(layer)) }

// Closed implements archive.Watcher.
func (w *worker) Closed(layer string) { w.tell(kindClosed, []byte(layer)) }

// Progress implements archive.Watcher.
func (w *worker) Progress(written, steps int64) {
	body := binary.BigEndian.AppendUint64(nil, uint64(written))
	w.tell(kindProgress, binary.BigEndian.AppendUint64(body, uint64(steps)))
}
