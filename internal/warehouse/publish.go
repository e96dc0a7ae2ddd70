package warehouse

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"talon/internal/pathname"
)

// Taken tells whether a path in a tree belongs to something else than what is being published, though it may not be there.
// nil: nothing is taken.
type Taken func(candidate string) (bool, error)

// Publication makes staged files and directories visible in a tree, and then durable: File and Dir as often as needed, then
// Sync. All of it may be repeated, after a crash as well. What is published must have been synced (Warehouse.Sync) since it
// was staged. A publication is for one goroutine; any number of them may be at work in one tree.
type Publication struct {
	tree    *Tree
	parents map[string]string // requested directory -> the one it became
	touched map[string]bool   // directories to sync
	mine    map[string]bool   // published here: two things of equal contents do not become one
}

// NewPublication begins a publication.
func (t *Tree) NewPublication() *Publication {
	return &Publication{tree: t, parents: map[string]string{}, touched: map[string]bool{}, mine: map[string]bool{}}
}

// File makes a staged file visible as target or, where that is taken or something else is there, as its next version
// ("a~2.zip"), and returns its path in the tree. Nothing is ever replaced. A file that is there already with the same
// contents is taken for the work of an interrupted attempt, and the staged one is dropped. ErrLost: the staged file is gone
// or not what was staged. ErrSync: it was staged before a sync failed.
func (p *Publication) File(staged, target string, want Identity, taken Taken) (published string, err error) {
	return p.publish(staged, target, taken, goods{
		whole: func() error { return p.tree.house.inspectFile(staged, want) },
		same:  func(candidate string) (bool, error) { return p.tree.holdsFile(candidate, want) },
	})
}

// Dir does for a finished directory what File does for a file. A directory that is there already is taken for the same if it
// holds exactly what the manifest says. The staged one has been checked (Warehouse.VerifyTree).
func (p *Publication) Dir(stagedDir, target string, manifest []ManifestFile, taken Taken) (published string, err error) {
	return p.publish(stagedDir, target, taken, goods{
		whole: func() error { return p.tree.house.inspectDir(stagedDir) },
		same:  func(candidate string) (bool, error) { return p.tree.holdsDir(candidate, manifest) },
	})
}

// Sync makes durable what was published since the last call: every directory that got a name, and those above it, which an
// interrupted attempt may have made. Each is synced once.
func (p *Publication) Sync() error {
	for dir := range p.touched {
		opened, err := p.tree.root.Open(dir)
		if err == nil {
			err = syncDir(opened, p.tree.fsync)
		}
		if err != nil {
			return fmt.Errorf("warehouse: publish: %s: %w", dir, err)
		}
	}
	clear(p.touched)
	return nil
}

// goods is what is published: a file or a directory.
type goods struct {
	whole func() error                         // ErrLost unless the staged one is there as it was staged
	same  func(candidate string) (bool, error) // what is at the candidate has the same contents
}

func (p *Publication) publish(staged, target string, taken Taken, g goods) (string, error) {
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("warehouse: publish %s: %w", target, err)
	}
	if err := errors.Join(local(staged), local(target)); err != nil {
		return fail(err)
	}
	staged, target = path.Clean(staged), path.Clean(target)
	if err := p.tree.house.distrust(staged); err != nil {
		return fail(err)
	}
	dir, err := p.makeParents(path.Dir(target))
	if err != nil {
		return fail(err)
	}
	place := path.Join(dir, path.Base(target))
	for n := 0; ; {
		n, err = nextFree(n, func(n int) (bool, error) { return p.isTaken(pathname.Versioned(place, n), taken) })
		if err != nil {
			return fail(err)
		}
		candidate := pathname.Versioned(place, n)
		done, err := p.tree.put(staged, candidate, g)
		if err != nil {
			return fail(err)
		}
		if done {
			p.mine[candidate] = true
			return candidate, nil
		}
	}
}

func (p *Publication) isTaken(candidate string, taken Taken) (bool, error) {
	if p.mine[candidate] || taken == nil {
		return p.mine[candidate], nil
	}
	return taken(candidate)
}

// nextFree returns a version above after that is not taken, the first one if versions are taken without gaps. It searches by
// doubling: a file that changes every quarter of an hour has thousands of versions within a year.
func nextFree(after int, taken func(n int) (bool, error)) (int, error) {
	low, step := after, 1
	for {
		is, err := taken(low + step)
		if err != nil {
			return 0, err
		}
		if !is {
			break
		}
		low, step = low+step, 2*step
	}
	high := low + step
	for high-low > 1 {
		middle := low + (high-low)/2
		is, err := taken(middle)
		if err != nil {
			return 0, err
		}
		if is {
			low = middle
		} else {
			high = middle
		}
	}
	return high, nil
}

// makeParents makes a directory of the tree with those above it and returns its path.
func (p *Publication) makeParents(dir string) (string, error) {
	p.touched["."] = true
	made := "."
	for part := range strings.SplitSeq(path.Clean(dir), "/") {
		wanted := path.Join(made, part)
		if p.parents[wanted] == "" {
			got, err := p.tree.makeDir(wanted)
			if err != nil {
				return "", err
			}
			p.parents[wanted] = got
		}
		made = p.parents[wanted]
		p.touched[made] = true
	}
	return made, nil
}

// makeDir makes a directory or finds it. Where a file of that name is in the way, because a server has made a directory of
// what had been a file, the directory is the file's next version.
func (t *Tree) makeDir(dir string) (string, error) {
	for n := 1; ; n++ {
		candidate := pathname.Versioned(dir, n)
		err := t.root.Mkdir(candidate, dirMode)
		if err == nil {
			return candidate, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		info, err := t.root.Stat(candidate)
		if err != nil {
			return "", err
		}
		if info.IsDir() {
			return candidate, nil
		}
	}
}

// put makes the goods visible as candidate, or finds that they are. It returns false if something else is there.
func (t *Tree) put(staged, candidate string, g goods) (bool, error) {
	for {
		whole := g.whole() // asked before the candidate is looked at: a twin may publish in between
		if whole != nil && !errors.Is(whole, ErrLost) {
			return false, whole
		}
		_, err := t.root.Lstat(candidate)
		if err == nil {
			return t.adopt(staged, candidate, g)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if whole != nil {
			return false, whole
		}
		err = t.rename(staged, candidate)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, fs.ErrExist): // somebody was faster: look at what it is
		case errors.Is(err, fs.ErrNotExist) && g.whole() != nil: // a twin has published it
		default:
			return false, err
		}
	}
}

// adopt takes what is at the candidate for the goods if it has the same contents; the staged ones are not needed then.
func (t *Tree) adopt(staged, candidate string, g goods) (bool, error) {
	same, err := g.same(candidate)
	if same && err == nil {
		err = t.house.stage.RemoveAll(staged)
	}
	return same && err == nil, err
}

// rename moves what is staged into the tree.
func (t *Tree) rename(staged, target string) (err error) {
	from, err := t.house.stage.Open(path.Dir(staged))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := t.root.Open(path.Dir(target))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	err = t.move(from, path.Base(staged), to, path.Base(target))
	if errors.Is(err, unix.EXDEV) {
		err = fmt.Errorf("%w: %w", ErrTwoFileSystems, err)
	}
	return err
}

// moveNoReplace renames a name of one directory into another and fails with EEXIST if the new name is in use. Not every file
// system can (rename(2): EINVAL); there, moveByLink does it.
func moveNoReplace(from *os.File, old string, to *os.File, name string) error {
	err := unix.Renameat2(int(from.Fd()), old, int(to.Fd()), name, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return moveByLink(from, old, to, name)
	}
	return os.NewSyscallError("renameat2", err)
}

// moveByLink claims the new name by a call that fails if it is in use: link for a file, mkdir for a directory, which a rename
// then replaces as long as it is empty.
func moveByLink(from *os.File, old string, to *os.File, name string) error {
	source, target := int(from.Fd()), int(to.Fd())
	var stat unix.Stat_t
	if err := unix.Fstatat(source, old, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return os.NewSyscallError("fstatat", err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		if err := unix.Linkat(source, old, target, name, 0); err != nil {
			return os.NewSyscallError("linkat", err)
		}
		return os.NewSyscallError("unlinkat", unix.Unlinkat(source, old, 0))
	}
	if err := unix.Mkdirat(target, name, dirMode); err != nil {
		return os.NewSyscallError("mkdirat", err)
	}
	if err := unix.Renameat(source, old, target, name); err != nil {
		return errors.Join(os.NewSyscallError("renameat", err), unix.Unlinkat(target, name, unix.AT_REMOVEDIR))
	}
	return nil
}

// inspectFile checks that a staged file is what was staged. One from before this warehouse was opened is read again: the
// host may have crashed since, and kept the size but not the data.
func (w *Warehouse) inspectFile(staged string, want Identity) error {
	info, err := w.stage.Lstat(staged)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", staged, ErrLost)
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() != want.Size {
		return fmt.Errorf("%s (%s, %d bytes): %w", staged, info.Mode(), info.Size(), ErrLost)
	}
	if !changed(info).Before(w.opened) {
		return nil
	}
	sum, err := hashFile(w.stage, staged, info)
	if err == nil && sum != want.SHA256 {
		err = fmt.Errorf("%s has SHA-256 %s: %w", staged, sum, ErrLost)
	}
	return err
}

func (w *Warehouse) inspectDir(staged string) error {
	info, err := w.stage.Lstat(staged)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", staged, ErrLost)
	}
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory: %w", staged, ErrLost)
	}
	return err
}

// holdsFile tells whether the name in the tree is a regular file of these contents.
func (t *Tree) holdsFile(name string, want Identity) (bool, error) {
	info, err := t.root.Lstat(name)
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() || info.Size() != want.Size {
		return false, nil
	}
	sum, err := hashFile(t.root, name, info)
	return sum == want.SHA256, err
}

// holdsDir tells whether the name in the tree is a directory of exactly these contents, beside what was set aside (SetAside).
func (t *Tree) holdsDir(name string, manifest []ManifestFile) (bool, error) {
	err := verify(t.root, name, manifest, isAside, func(fs.FileInfo) (bool, error) { return true, nil })
	if errors.Is(err, ErrDamaged) {
		return false, nil
	}
	return err == nil, err
}
