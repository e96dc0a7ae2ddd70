package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"talon/internal/archive"
)

func destinationError(err error) error { return fmt.Errorf("%w: %w", archive.ErrDestination, err) }

// checkDest says whether dest is a directory with nothing in it, except for the scratch directory itself.
func (p *Pool) checkDest(dest string) error {
	entries, err := os.ReadDir(dest)
	if err != nil {
		return destinationError(err)
	}
	for _, entry := range entries {
		if !isSame(filepath.Join(dest, entry.Name()), p.options.Scratch) {
			return destinationError(fmt.Errorf("%w: %s is not empty", fs.ErrExist, dest))
		}
	}
	return nil
}

func isSame(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// deliver puts the tree, whole, in the place of dest, which is empty. Where that cannot be done (dest is a mount point, or
// the directory that the tree lies below), or would change the owner of dest, what is in the tree goes there name by name.
func deliver(tree, dest string) error {
	from, err := os.Stat(tree)
	if err != nil {
		return destinationError(err)
	}
	to, err := os.Stat(dest)
	if err != nil {
		return destinationError(err)
	}
	if sameOwner(from, to) && unix.Rename(tree, dest) == nil { // os.Rename refuses directories that exist
		if from.Mode() == to.Mode() {
			return nil
		}
		if err := os.Chmod(dest, to.Mode()); err != nil {
			return destinationError(err)
		}
		return nil
	}
	return deliverNames(tree, dest)
}

func sameOwner(a, b fs.FileInfo) bool {
	x, y := a.Sys().(*syscall.Stat_t), b.Sys().(*syscall.Stat_t)
	return x.Uid == y.Uid && x.Gid == y.Gid
}

// deliverNames moves all or nothing.
func deliverNames(tree, dest string) error {
	entries, err := os.ReadDir(tree)
	if err != nil {
		return destinationError(err)
	}
	move := func(name, from, to string) error {
		return os.Rename(filepath.Join(from, name), filepath.Join(to, name))
	}
	for i, entry := range entries {
		if err := move(entry.Name(), tree, dest); err != nil {
			for _, moved := range entries[:i] {
				err = errors.Join(err, move(moved.Name(), dest, tree))
			}
			return destinationError(err)
		}
	}
	return removeTree(tree)
}

// removeTree removes a directory and all that lies in it. However deep that is, a few descriptors are enough: directories
// are lifted to the top instead of being descended into. It is no error if it is not there.
func removeTree(dir string) (err error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r := remover{root: root}
	if err := errors.Join(r.empty(), root.Close()); err != nil {
		return err
	}
	return os.Remove(dir)
}

type remover struct {
	root   *os.Root
	lifted int
}

func (r *remover) empty() error {
	for {
		names, err := list(r.root)
		if err != nil || len(names) == 0 {
			return err
		}
		for _, name := range names {
			if err := r.remove(name); err != nil {
				return err
			}
		}
	}
}

// remove removes a file, or a directory after what lies in it was removed or lifted.
func (r *remover) remove(name string) error {
	err := r.root.Remove(name)
	if !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	if err := r.root.Chmod(name, 0o700); err != nil {
		return err
	}
	dir, err := r.root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := list(dir)
	if err != nil {
		return err
	}
	for _, below := range names {
		err := dir.Remove(below)
		if errors.Is(err, unix.ENOTEMPTY) {
			err = r.lift(dir, name, below)
		}
		if err != nil {
			return err
		}
	}
	return r.root.Remove(name)
}

// lift moves a directory to the top.
func (r *remover) lift(dir *os.Root, name, below string) error {
	if err := dir.Chmod(below, 0o700); err != nil { // its entry for the directory above it changes
		return err
	}
	for {
		r.lifted++
		err := r.root.Rename(filepath.Join(name, below), "lifted-"+strconv.Itoa(r.lifted))
		taken := []error{unix.ENOTEMPTY, unix.EEXIST, unix.ENOTDIR}
		if !slices.ContainsFunc(taken, func(t error) bool { return errors.Is(err, t) }) {
			return err
		}
	}
}

func list(root *os.Root) ([]string, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}
