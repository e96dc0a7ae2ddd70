package warehouse

import (
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
)

// CatalogFile is the absolute path of the catalog.
func (w *Warehouse) CatalogFile() string { return filepath.Join(w.StateDir(), "catalog.db") }

// MakeStagedDir makes a directory in the stage, with those above it, and returns its absolute path: for an engine that writes through
// an os.Root of its own.
func (w *Warehouse) MakeStagedDir(rel string) (string, error) {
	if err := local(rel); err != nil {
		return "", fmt.Errorf("warehouse: stage: %w", err)
	}
	if err := w.stage.MkdirAll(rel, dirMode); err != nil {
		return "", fmt.Errorf("warehouse: stage: %w", err)
	}
	return filepath.Join(w.StageDir(), filepath.FromSlash(rel)), nil
}

// ReadStaged returns a staged file of at most limit bytes; a longer one is ErrDamaged, a missing one fs.ErrNotExist.
func (w *Warehouse) ReadStaged(rel string, limit int64) (content []byte, err error) {
	if err := local(rel); err != nil {
		return nil, fmt.Errorf("warehouse: stage: %w", err)
	}
	file, err := w.stage.Open(rel)
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

// RemoveStagedExcept removes what lies in a directory of the stage, but for one entry, and counts the files.
func (w *Warehouse) RemoveStagedExcept(dir, keep string) (files int, err error) {
	if err := local(dir); err != nil {
		return 0, fmt.Errorf("warehouse: remove: %w", err)
	}
	names, err := list(w.stage, dir)
	for _, name := range names {
		if name == keep {
			continue
		}
		count, removeErr := w.RemoveStaged(path.Join(dir, name))
		files += count
		err = errors.Join(err, removeErr)
	}
	return files, err
}
