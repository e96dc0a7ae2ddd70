package warehouse

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"
)

// walk visits name and everything below it, a directory before what it holds. It follows no link and passes over what
// vanishes meanwhile; a missing name is an empty walk. (fs.WalkDir over os.Root.FS refuses names that are not UTF-8.)
func walk(root *os.Root, name string, visit func(name string, info fs.FileInfo) error) error {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := visit(name, info); err != nil || !info.IsDir() {
		return err
	}
	return walkBelow(root, name, visit)
}

// walkBelow visits the entries of a directory, and then goes down: no more than one directory is open at a time, however deep
// they lie, and the way down to one is walked once for all that is in it.
func walkBelow(root *os.Root, dir string, visit func(name string, info fs.FileInfo) error) error {
	below, err := visitEntries(root, dir, visit)
	if err != nil {
		return err
	}
	for _, child := range below {
		if err := walkBelow(root, child, visit); err != nil {
			return err
		}
	}
	return nil
}

// visitEntries visits what is in a directory and returns the directories among it.
func visitEntries(root *os.Root, dir string, visit func(name string, info fs.FileInfo) error) (below []string, err error) {
	at, err := root.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, at.Close()) }()
	children, err := list(at, ".")
	if err != nil {
		return nil, err
	}
	for _, child := range children {
		info, err := at.Lstat(child)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		name := path.Join(dir, child)
		if err := visit(name, info); err != nil {
			return nil, err
		}
		if info.IsDir() {
			below = append(below, name)
		}
	}
	return below, nil
}

// list returns the names in a directory; one that is gone is empty.
func list(root *os.Root, dir string) ([]string, error) {
	d, err := root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	return names, errors.Join(err, d.Close())
}

// hashFile returns the SHA-256 of a regular file, in hex. info is what Lstat said of it: if another file or a link has taken
// its place since, that one is not read.
func hashFile(root *os.Root, name string, info fs.FileInfo) (sum string, err error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe that took its place must not block
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	opened, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !os.SameFile(info, opened) {
		return "", fmt.Errorf("%s was replaced while it was read: %w", name, ErrDamaged)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// changed is when a file was last written, linked or renamed. Unlike the modification time it cannot be set.
func changed(info fs.FileInfo) time.Time {
	return time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix())
}
