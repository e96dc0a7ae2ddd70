package warehouse

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"syscall"
)

// ManifestFile is one file of a directory: its path in it, and what it holds.
type ManifestFile struct {
	Path   string
	Size   int64
	SHA256 string // hex
}

// VerifyTree checks that a staged directory holds the files of the manifest, regular and of the right size, and beside them
// nothing but directories; anything else is ErrDamaged and names it. No link is followed, and a file that has a second name
// is refused: somebody could change it later. Contents are compared if hash is set, and in any case those that were staged
// before this warehouse was opened: the host may have crashed in between. ErrLost: there is no such directory (it may have
// been published: see Publication.Dir).
func (w *Warehouse) VerifyTree(stagedDir string, manifest []ManifestFile, hash bool) error {
	if err := local(stagedDir); err != nil {
		return fmt.Errorf("warehouse: verify: %w", err)
	}
	err := verify(w.stage, stagedDir, manifest, nobody, func(info fs.FileInfo) (bool, error) {
		if info.Sys().(*syscall.Stat_t).Nlink > 1 {
			return false, errors.New("has several names")
		}
		return hash || changed(info).Before(w.opened), nil
	})
	if err != nil {
		return fmt.Errorf("warehouse: verify: %w", err)
	}
	return nil
}

// nobody ignores no file.
func nobody(string) bool { return false }

// verify compares a directory with a manifest. judge tells of a file whether its contents must be compared, too; what the manifest does not name and
// ignored tells of may lie there as well.
func verify(root *os.Root, dir string, manifest []ManifestFile, ignored func(name string) bool, judge func(fs.FileInfo) (bool, error)) error {
	if info, err := root.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", dir, ErrLost)
	} else if err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%w: %s is not a directory", ErrDamaged, dir)
	}
	wanted, err := index(dir, manifest)
	if err != nil {
		return err
	}
	suspects := map[string]fs.FileInfo{} // read last: a wrong name or size costs no reading
	err = walk(root, dir, func(name string, info fs.FileInfo) error {
		if info.IsDir() {
			return nil
		}
		want, ok := wanted[name]
		if !ok && ignored(name) {
			return nil
		}
		if !ok || !info.Mode().IsRegular() || info.Size() != want.Size {
			return fmt.Errorf("%w: %q (%s, %d bytes)", ErrDamaged, name, info.Mode(), info.Size())
		}
		suspect, err := judge(info)
		if err != nil {
			return fmt.Errorf("%w: %q %w", ErrDamaged, name, err)
		}
		if suspect {
			suspects[name] = info
		} else {
			delete(wanted, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return compare(root, wanted, suspects)
}

// index orders a manifest by the paths that its files have below the root.
func index(dir string, manifest []ManifestFile) (map[string]ManifestFile, error) {
	wanted := make(map[string]ManifestFile, len(manifest))
	for _, file := range manifest {
		if err := local(file.Path); err != nil || path.Clean(file.Path) != file.Path {
			return nil, fmt.Errorf("%w: the manifest names %q: %w", ErrDamaged, file.Path, ErrOutside)
		}
		name := path.Join(dir, file.Path)
		if _, twice := wanted[name]; twice {
			return nil, fmt.Errorf("%w: the manifest names %q twice", ErrDamaged, file.Path)
		}
		wanted[name] = file
	}
	return wanted, nil
}

// compare reads the files that were found and compares their contents; what is wanted beyond them is missing.
func compare(root *os.Root, wanted map[string]ManifestFile, found map[string]fs.FileInfo) (err error) {
	descent := NewDescent(root)
	defer func() { err = errors.Join(err, descent.Close()) }()
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		want, info := wanted[name], found[name]
		if info == nil {
			return fmt.Errorf("%w: %q is missing", ErrDamaged, name)
		}
		at, base, err := descent.enter(name)
		if err != nil {
			return err
		}
		sum, err := hashFile(at, base, info)
		if err != nil {
			return err
		}
		if sum != want.SHA256 {
			return fmt.Errorf("%w: %q has SHA-256 %s", ErrDamaged, name, sum)
		}
	}
	return nil
}
