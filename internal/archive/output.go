package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"talon/internal/pathname"
)

const (
	dirMode  fs.FileMode = 0o750
	fileMode fs.FileMode = 0o640
)

// output writes below one directory and nowhere else. It knows every path that was ever given away, so that no file
// replaces another; paths are relative, clean and slash-separated. Every error it returns wraps ErrDestination. Its methods
// may be called from several goroutines.
type output struct {
	root *os.Root
	dir  *os.File
	fd   int // of dir

	mu      sync.Mutex
	taken   map[string]bool // by foldKey
	version map[string]int  // the last version tried of a path, so that many twins do not cost a search each
}

func newOutput(dest string) (*output, error) {
	root, err := os.OpenRoot(dest)
	if err != nil {
		return nil, destinationError(err)
	}
	dir, err := root.Open(".")
	if err == nil {
		err = isEmpty(dir)
	}
	if err != nil {
		return nil, destinationError(errors.Join(err, root.Close()))
	}
	return &output{root: root, dir: dir, fd: int(dir.Fd()), taken: map[string]bool{}, version: map[string]int{}}, nil
}

func isEmpty(dir *os.File) error {
	names, err := dir.Readdirnames(1)
	switch {
	case len(names) > 0:
		return fmt.Errorf("%w: the directory is not empty", fs.ErrExist)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

func (o *output) close() {
	_ = o.dir.Close()
	_ = o.root.Close()
}

func destinationError(err error) error { return fmt.Errorf("%w: %w", ErrDestination, err) }

// claim takes the first free version of a path, for good: it stays taken even if nothing comes to lie there.
func (o *output) claim(p string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	candidate, key := p, foldKey(p)
	for folded := key; o.taken[folded]; folded = foldKey(candidate) {
		o.version[key] = max(o.version[key]+1, 2)
		candidate = pathname.Versioned(p, o.version[key])
	}
	o.taken[foldKey(candidate)] = true
	return candidate
}

// makeDir creates a directory under the first free version of a path, whose parent exists.
func (o *output) makeDir(p string) (string, error) {
	p = o.claim(p)
	err := o.root.Mkdir(p, dirMode)
	if err == nil {
		err = o.root.Chmod(p, dirMode) // the umask may have taken something away
	}
	if err != nil {
		return "", destinationError(err)
	}
	return p, nil
}

// removeFile deletes a file; its path stays taken.
func (o *output) removeFile(p string) error {
	if err := o.root.Remove(p); err != nil {
		return destinationError(err)
	}
	return nil
}

// removeEmptyDir deletes a directory unless something lies in it.
func (o *output) removeEmptyDir(p string) error {
	err := o.root.Remove(p)
	if err != nil && !errors.Is(err, fs.ErrExist) { // ENOTEMPTY
		return destinationError(err)
	}
	return nil
}

// free returns how many bytes can be written until less than the floor is free; 0 = the default floor.
func (o *output) free(floor int64) (int64, error) {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(o.fd, &stat); err != nil {
		return 0, err
	}
	if floor == 0 {
		floor = DefaultFreeSpace(int64(stat.Blocks) * stat.Bsize)
	}
	return int64(stat.Bavail)*stat.Bsize - floor, nil
}

// DefaultFreeSpace is the default of Limits.FreeSpace on a file system of that many bytes.
func DefaultFreeSpace(size int64) int64 {
	const tenth = 10
	return min(defaultFreeSpace, size/tenth)
}

// newFile is a file at a claimed path, being written. It is a bare descriptor: an os.File costs system calls of its own.
type newFile struct {
	out  *output
	path string
	fd   int
	file *os.File // that fd belongs to, if any
}

// create makes the file at a path that was claimed, whose directory exists.
//
// openat2(2) walks the path in one system call and never out of the directory, which os.Root does with one call for each
// component.
func (o *output) create(p string) (*newFile, error) {
	how := unix.OpenHow{
		Flags: unix.O_CREAT | unix.O_EXCL | unix.O_RDWR | unix.O_CLOEXEC, Mode: uint64(fileMode),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	fd, err := retry(func() (int, error) { return unix.Openat2(o.fd, p, &how) })
	if err == nil {
		return &newFile{out: o, path: p, fd: fd}, nil
	}
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) { // an old kernel, or an old list of allowed calls
		return nil, destinationError(&fs.PathError{Op: "create", Path: p, Err: err})
	}
	file, err := o.root.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_RDWR, fileMode)
	if err != nil {
		return nil, destinationError(err)
	}
	return &newFile{out: o, path: p, fd: int(file.Fd()), file: file}, nil
}

// retry calls a function again while a signal interrupts it.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// Write implements io.Writer.
func (f *newFile) Write(p []byte) (int, error) {
	for written := 0; ; {
		n, err := retry(func() (int, error) { return unix.Write(f.fd, p[written:]) })
		if err != nil {
			return written, destinationError(&fs.PathError{Op: "write", Path: f.path, Err: err})
		}
		if written += n; written == len(p) {
			return written, nil
		}
	}
}

// ReadAt implements io.ReaderAt.
func (f *newFile) ReadAt(p []byte, off int64) (int, error) {
	for done := 0; ; {
		n, err := retry(func() (int, error) { return unix.Pread(f.fd, p[done:], off+int64(done)) })
		done += max(n, 0)
		switch {
		case err != nil:
			return done, destinationError(&fs.PathError{Op: "read", Path: f.path, Err: err})
		case done == len(p):
			return done, nil
		case n == 0:
			return done, io.EOF
		}
	}
}

// finish closes the file as it is to stay.
func (f *newFile) finish(modTime time.Time) error {
	stamp := unix.NsecToTimespec(modTime.UnixNano())
	err := errors.Join(
		unix.Fchmod(f.fd, uint32(fileMode)), // the umask may have taken something away
		unix.UtimesNanoAt(f.out.fd, f.path, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW),
		f.close())
	if err != nil {
		return destinationError(&fs.PathError{Op: "finish", Path: f.path, Err: err})
	}
	return nil
}

func (f *newFile) close() error {
	if f.file != nil {
		return f.file.Close()
	}
	return unix.Close(f.fd)
}

// discard removes the file.
func (f *newFile) discard() {
	_ = f.close()
	_ = f.out.root.Remove(f.path)
}

// sensibleTime returns t, or fallback if t is unknown, within 1980 (the first year of FAT and zip) and tomorrow.
func sensibleTime(t, fallback time.Time) time.Time {
	if t.IsZero() || t.Unix() == 0 {
		t = fallback
	}
	first, last := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), time.Now().Add(24*time.Hour)
	switch {
	case t.Before(first):
		t = first
	case t.After(last):
		t = last
	}
	return t.UTC()
}
