package warehouse

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// CatalogFile is the absolute path of the catalog.
func (w *Warehouse) CatalogFile() string { return filepath.Join(w.StateDir(), "catalog.db") }

// MakeStagedDir makes a directory in the stage, with those above it, and returns its absolute path: for an engine that writes through
// an os.Root of its own.
func (s *Stage) MakeStagedDir(rel string) (string, error) {
	if err := local(rel); err != nil {
		return "", fmt.Errorf("warehouse: stage: %w", err)
	}
	if err := s.stage.MkdirAll(rel, dirMode); err != nil {
		return "", fmt.Errorf("warehouse: stage: %w", err)
	}
	return filepath.Join(s.dir, filepath.FromSlash(rel)), nil
}

// ReadStaged returns a staged file of at most limit bytes; a longer one is ErrDamaged, a missing one fs.ErrNotExist.
func (s *Stage) ReadStaged(rel string, limit int64) (content []byte, err error) {
	if err := local(rel); err != nil {
		return nil, fmt.Errorf("warehouse: stage: %w", err)
	}
	file, err := s.stage.Open(rel)
	if err != nil {
		return nil, fmt.Errorf("warehouse: stage: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	content, err = io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%w: %s is longer than %d bytes", ErrDamaged, rel, limit)
	}
	return content, err
}

// OpenStaged opens a regular file of the stage for reading; nothing else, which might have been put there, is opened, and no
// link followed: ErrDamaged. A missing one is fs.ErrNotExist.
func (s *Stage) OpenStaged(rel string) (*os.File, error) {
	if err := local(rel); err != nil {
		return nil, fmt.Errorf("warehouse: stage: %w", err)
	}
	seen, err := s.stage.Lstat(rel)
	if err != nil {
		return nil, fmt.Errorf("warehouse: stage: %w", err)
	}
	if !seen.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no regular file (%s)", ErrDamaged, rel, seen.Mode())
	}
	file, err := s.stage.OpenFile(rel, os.O_RDONLY|unix.O_NONBLOCK, 0) // should it have become a FIFO, not even that makes it wait
	if err != nil {
		return nil, fmt.Errorf("warehouse: stage: %w", err)
	}
	opened, err := file.Stat()
	if err == nil && !os.SameFile(seen, opened) {
		err = fmt.Errorf("%w: %s was exchanged while it was opened", ErrDamaged, rel)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// RemoveStagedExcept removes what lies in a directory of the stage, but for one entry, and counts the files.
func (s *Stage) RemoveStagedExcept(dir, keep string) (files int, err error) {
	if err := local(dir); err != nil {
		return 0, fmt.Errorf("warehouse: remove: %w", err)
	}
	names, err := list(s.stage, dir)
	for _, name := range names {
		if name == keep {
			continue
		}
		count, removeErr := s.RemoveStaged(path.Join(dir, name))
		files += count
		err = errors.Join(err, removeErr)
	}
	return files, err
}
