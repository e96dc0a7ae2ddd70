package warehouse

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// Descent opens files below a root, and holds the directory of the last one open: files come directory by directory, and to walk
// down a path, with a system call for each part, takes longer than to open a small file. It is for one goroutine, and is to be closed.
type Descent struct {
	root *os.Root
	dir  string
	at   *os.Root // dir; nil: no directory is held
}

// NewDescent returns a Descent that holds no directory yet. It does not close root.
func NewDescent(root *os.Root) *Descent { return &Descent{root: root} }

// Open implements fs.FS: it opens a file for reading, as os.Root.Open does.
func (d *Descent) Open(name string) (fs.File, error) {
	at, base, err := d.enter(name)
	if err != nil {
		return nil, err
	}
	return at.Open(base)
}

// enter returns the directory that a file lies in, and the file's name there. It is closed when another one is entered.
func (d *Descent) enter(name string) (at *os.Root, base string, err error) {
	dir, base := path.Dir(name), path.Base(name)
	if d.at != nil && d.dir == dir {
		return d.at, base, nil
	}
	if err := d.Close(); err != nil {
		return nil, "", err
	}
	if d.at, err = d.root.OpenRoot(dir); err != nil {
		d.at = nil
		return nil, "", err
	}
	d.dir = dir
	return d.at, base, nil
}

// Close gives the directory back that is held. The Descent can be used again.
func (d *Descent) Close() error {
	if d.at == nil {
		return nil
	}
	held := d.at
	d.at = nil
	return held.Close()
}

// StagedTree creates the files of a directory of the stage, one after the other. A file is to be closed or discarded before
// the next one is created. It is for one goroutine, and is to be closed.
type StagedTree struct {
	stage   *Stage
	rel     string
	descent *Descent
}

// NewTree returns a StagedTree for a directory below the stage. Nothing is made yet.
func (s *Stage) NewTree(rel string) *StagedTree {
	return &StagedTree{stage: s, rel: rel, descent: NewDescent(s.stage)}
}

// Create does what CreateStaged does, for a name below the tree.
func (t *StagedTree) Create(name string) (*StagedFile, error) {
	if err := errors.Join(local(t.rel), local(name)); err != nil {
		return nil, fmt.Errorf("warehouse: stage: %w", err)
	}
	rel := path.Join(t.rel, name)
	file, err := t.create(rel)
	if errors.Is(err, fs.ErrNotExist) { // the janitor has just removed the empty directory
		if err = t.Close(); err == nil {
			file, err = t.create(rel)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("warehouse: stage: %w", err)
	}
	return file, nil
}

func (t *StagedTree) create(rel string) (*StagedFile, error) {
	if t.descent.at == nil || t.descent.dir != path.Dir(rel) {
		if err := t.stage.stage.MkdirAll(path.Dir(rel), dirMode); err != nil {
			return nil, err
		}
	}
	at, base, err := t.descent.enter(rel)
	if err != nil {
		return nil, err
	}
	file, err := createIn(at, base)
	if err != nil {
		return nil, err
	}
	return newStagedFile(at, base, rel, file), nil
}

// Close gives the directory back that is held. The files stay.
func (t *StagedTree) Close() error { return t.descent.Close() }
