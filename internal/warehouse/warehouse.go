// Package warehouse holds Talon's directories on tiger and the only code that makes a file visible in them: staged first,
// synced, then renamed without replacing anything, then the directories synced.
//
//	root/zip     collected files        visible
//	root/unzip   extracted files        visible
//	root/stage   work in progress       never shown to users
//	root/state   catalog and listings
//
// All four lie on one file system, because a rename must be atomic.
package warehouse

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Errors of this package, always wrapped with the path they are about.
var (
	// ErrTwoFileSystems: a visible directory and the stage lie on different file systems, or on different mounts.
	ErrTwoFileSystems = errors.New("warehouse lies on two file systems")
	// ErrSync: a sync failed. The kernel may already have dropped the data, so the staged file is discarded and must be
	// fetched again; the sync is never retried (fsync reports a writeback error once).
	ErrSync = errors.New("sync failed")
	// ErrLost: neither the staged file nor an identical published one is there: fetch it again.
	ErrLost = errors.New("staged file is gone")
	// ErrDamaged: a staged tree does not hold what its manifest says.
	ErrDamaged = errors.New("staged tree does not match its manifest")
	// ErrOutside: a name is not a relative path below its directory.
	ErrOutside = errors.New("not a path below its directory")
	// ErrReserved: files cannot be published into the stage or the state directory.
	ErrReserved = errors.New("directory is reserved for work in progress")
)

// Warehouse is an open warehouse. It is safe for concurrent use.
type Warehouse struct {
	*Stage
	root   string
	opened time.Time
	sync   groupSync
}

// Open opens the warehouse below root and creates what is missing. Its directories must lie on one mounted file system:
// ErrTwoFileSystems.
func Open(root string) (*Warehouse, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	w := &Warehouse{root: root, opened: time.Now()}
	for _, dir := range w.dirs() {
		if err := makeDir(dir); err != nil {
			return nil, fmt.Errorf("warehouse: %w", err)
		}
	}
	if err := Check(root); err != nil {
		return nil, err
	}
	if w.Stage, err = OpenStage(w.StageDir()); err != nil {
		return nil, err
	}
	if err := w.sync.open(w.StageDir()); err != nil {
		return nil, errors.Join(fmt.Errorf("warehouse: %w", err), w.Stage.Close())
	}
	return w, nil
}

// Check makes the checks of Open and creates nothing; root need not exist.
func Check(root string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return fmt.Errorf("warehouse: %w", err)
	}
	w := &Warehouse{root: root}
	if err := sameFileSystem(w.StageDir(), w.dirs()...); err != nil {
		return fmt.Errorf("warehouse: %w", err)
	}
	return nil
}

// Close releases the warehouse's directories. Nothing may be under way.
func (w *Warehouse) Close() error {
	return errors.Join(w.sync.close(), w.Stage.Close())
}

// ZipDir is the absolute path of the directory of collected files.
func (w *Warehouse) ZipDir() string { return filepath.Join(w.root, "zip") }

// UnzipDir is the absolute path of the directory of extracted files.
func (w *Warehouse) UnzipDir() string { return filepath.Join(w.root, "unzip") }

// StageDir is the absolute path of the directory of work in progress.
func (w *Warehouse) StageDir() string { return filepath.Join(w.root, "stage") }

// StateDir is the absolute path of the directory of the catalog and the listings.
func (w *Warehouse) StateDir() string { return filepath.Join(w.root, "state") }

func (w *Warehouse) dirs() []string {
	return []string{w.StageDir(), w.ZipDir(), w.UnzipDir(), w.StateDir()}
}

// Stage is a directory of work in progress: that of a warehouse, or one by itself, on a host without one. It is safe for
// concurrent use.
type Stage struct {
	dir   string
	stage *os.Root
}

// OpenStage opens a directory for work in progress, and creates it if need be.
func OpenStage(dir string) (*Stage, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	return &Stage{dir: dir, stage: root}, nil
}

// Close releases the directory. Nothing may be under way.
func (s *Stage) Close() error { return s.stage.Close() }

// Space is the size of the stage's file system, and what of it is left for unprivileged users, in bytes.
func (s *Stage) Space() (size, free int64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(s.dir, &stat); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: s.dir, Err: err}
	}
	return int64(stat.Blocks) * stat.Bsize, int64(stat.Bavail) * stat.Bsize, nil
}

// Tree is a directory that files are published into. It is safe for concurrent use.
type Tree struct {
	house *Warehouse
	root  *os.Root
	move  func(from *os.File, old string, to *os.File, name string) error // without replacing: EEXIST
	fsync func(dir *os.File) error
}

// Visible opens a directory that files are to be published into, and creates it if need be. It must lie on the stage's
// mounted file system (ErrTwoFileSystems), and not be in the stage or the state directory (ErrReserved).
func (w *Warehouse) Visible(dir string) (*Tree, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	for _, reserved := range []string{w.StageDir(), w.StateDir()} {
		if strings.HasPrefix(dir+"/", reserved+"/") {
			return nil, fmt.Errorf("warehouse: %s: %w", dir, ErrReserved)
		}
	}
	if err := sameFileSystem(w.StageDir(), dir); err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	return &Tree{house: w, root: root, move: moveNoReplace, fsync: (*os.File).Sync}, nil
}

// Close releases the directory. Its publications must have ended.
func (t *Tree) Close() error { return t.root.Close() }
