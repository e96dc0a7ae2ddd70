package warehouse

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Modes of everything that is made here; the umask may only take away.
const (
	dirMode  = 0o750
	fileMode = 0o640
)

// place tells where a path is, or would be if its missing directories were made: renames are possible within one device
// that is mounted once. Two mounts of one device, such as two bind mounts, fail with EXDEV as well (rename(2)).
type place struct {
	device uint64
	mount  uint64 // 0: the kernel does not say (before Linux 5.8)
}

func (p place) differs(q place) bool {
	return p.device != q.device || (p.mount != q.mount && p.mount != 0 && q.mount != 0)
}

// placeOf looks at path, or at the nearest directory above it that exists. What exists must be a directory.
func placeOf(path string) (place, error) {
	existing, err := nearest(path)
	if err != nil {
		return place{}, err
	}
	var stat unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, existing, 0, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &stat); err != nil {
		return place{}, &fs.PathError{Op: "statx", Path: existing, Err: err}
	}
	found := place{device: unix.Mkdev(stat.Dev_major, stat.Dev_minor)}
	if stat.Mask&unix.STATX_MNT_ID != 0 {
		found.mount = stat.Mnt_id
	}
	return found, nil
}

// nearest returns path or the nearest directory above it that exists.
func nearest(path string) (string, error) {
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && info.IsDir():
			return path, nil
		case err == nil:
			return "", &fs.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		path = filepath.Dir(path)
	}
}

// sameFileSystem checks that files can be renamed from one directory into the others.
func sameFileSystem(from string, into ...string) error {
	home, err := placeOf(from)
	if err != nil {
		return err
	}
	for _, dir := range into {
		other, err := placeOf(dir)
		if err != nil {
			return err
		}
		if home.differs(other) {
			return fmt.Errorf("%w: %s and %s; files are published by renaming, so both must be directories of one mounted "+
				"file system: mount their common parent instead, or choose another directory", ErrTwoFileSystems, from, dir)
		}
	}
	return nil
}

// makeDir makes a directory and the missing ones above it, and makes their names durable.
func makeDir(dir string) error {
	existing, err := nearest(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	var parents []string
	for made := dir; made != existing; made = filepath.Dir(made) {
		parents = append(parents, filepath.Dir(made))
	}
	for _, parent := range slices.Backward(parents) {
		d, err := os.Open(parent)
		if err != nil {
			return err
		}
		if err := syncDir(d, (*os.File).Sync); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the names in an opened directory durable, and closes it.
func syncDir(dir *os.File, fsync func(*os.File) error) error {
	if err := errors.Join(fsync(dir), dir.Close()); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	return nil
}

// local refuses a name that is not a path below its directory: absolute, climbing out, empty or the directory itself.
func local(name string) error {
	if !filepath.IsLocal(name) || filepath.Clean(name) == "." {
		return &fs.PathError{Op: "use", Path: name, Err: ErrOutside}
	}
	return nil
}
