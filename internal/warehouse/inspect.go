package warehouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Condition is how a visible file stands to what it is to hold.
type Condition string

// Conditions of a file.
const (
	Intact     Condition = "intact"
	Damaged    Condition = "damaged"    // it holds something else, or is no regular file
	Missing    Condition = "missing"    // nothing lies there
	Unreadable Condition = "unreadable" // it lies there, but cannot be read; or the way to it leads out of its directory
)

// readAtOnce is how much is read between two calls of a Pace.
const readAtOnce = 32 << 10

// Pace is called when bytes have been read, with their number: it may take its time. Its error ends the reading. It must be safe for concurrent use.
type Pace func(ctx context.Context, bytes int) error

// Inspect compares a file below root with what it is to hold; an empty hash compares only the size. Links that lead out of root are not followed.
// detail says what is wrong with it. The error is that of pace or of the context alone.
func Inspect(ctx context.Context, root *os.Root, name string, want Identity, pace Pace) (c Condition, detail string, err error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return Missing, "", nil
	case err != nil:
		return Unreadable, err.Error(), nil
	case !info.Mode().IsRegular():
		return Damaged, fmt.Sprintf("it is no regular file (%s)", info.Mode()), nil
	case info.Size() != want.Size:
		return Damaged, fmt.Sprintf("it has %d bytes, not %d", info.Size(), want.Size), nil
	case want.SHA256 == "":
		return Intact, "", nil
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe that took its place must not block
	if err != nil {
		return Unreadable, err.Error(), nil
	}
	defer func() { _ = f.Close() }() // it was only read
	paced := &pacedReader{ctx: ctx, from: f, pace: pace}
	h := sha256.New()
	_, err = io.CopyBuffer(h, paced, make([]byte, readAtOnce))
	switch sum := hex.EncodeToString(h.Sum(nil)); {
	case paced.stopped != nil:
		return "", "", paced.stopped
	case err != nil:
		return Unreadable, err.Error(), nil
	case sum != want.SHA256:
		return Damaged, "it has SHA-256 " + sum + ", not " + want.SHA256, nil
	}
	return Intact, "", nil
}

// pacedReader reads no faster than its pace allows, and never after the context's end.
type pacedReader struct {
	ctx     context.Context
	from    io.Reader
	pace    Pace
	stopped error
}

// Read implements io.Reader.
func (r *pacedReader) Read(p []byte) (int, error) {
	if r.stopped = r.ctx.Err(); r.stopped != nil {
		return 0, r.stopped
	}
	n, err := r.from.Read(p)
	if r.pace != nil && n > 0 {
		if r.stopped = r.pace(r.ctx, n); r.stopped != nil {
			return n, r.stopped
		}
	}
	return n, err
}

// WalkAfter visits what lies below root and is no directory, in the order of the path's parts, beginning after the given path ("" is from the
// start). It follows no link and passes over what vanishes meanwhile. A directory that cannot be read is visited itself, with info nil and the error.
// It holds the names of one directory of each level in memory.
func WalkAfter(root *os.Root, after string, visit func(name string, info fs.FileInfo, err error) error) error {
	var parts []string
	if after != "" {
		parts = strings.Split(after, "/")
	}
	return walkAfter(root, ".", parts, visit)
}

func walkAfter(root *os.Root, dir string, after []string, visit func(string, fs.FileInfo, error) error) error {
	names, err := list(root, dir)
	if err != nil {
		return visit(dir, nil, err)
	}
	slices.Sort(names)
	for _, name := range names {
		var rest []string
		if len(after) > 0 {
			if name < after[0] || name == after[0] && len(after) == 1 {
				continue
			}
			if name == after[0] {
				rest = after[1:]
			}
		}
		at := path.Join(dir, name)
		info, err := root.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err == nil && info.IsDir():
			err = walkAfter(root, at, rest, visit)
		default:
			err = visit(at, info, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Changed is when a file was last written, linked or renamed. Unlike the modification time it cannot be set.
func Changed(info fs.FileInfo) time.Time { return changed(info) }

// asideName is how a damaged file is called that was set aside.
var asideName = regexp.MustCompile(`\.damaged-(\d{8}-\d{6})(~\d+)?$`)

// IsAside tells whether a name is that of a damaged file that was set aside, and since when.
func IsAside(name string) (since time.Time, is bool) {
	found := asideName.FindStringSubmatch(name)
	if found == nil {
		return time.Time{}, false
	}
	since, err := time.Parse("20060102-150405", found[1])
	return since, err == nil
}

func isAside(name string) bool {
	_, is := IsAside(name)
	return is
}

// longestName is how long a name can be, in bytes.
const longestName = 255

// AsideName is the name that SetAside gives a file first.
func AsideName(name string, now time.Time) string {
	mark := ".damaged-" + now.UTC().Format("20060102-150405")
	base := path.Base(name)
	return path.Join(path.Dir(name), base[:min(len(base), longestName-len(mark)-len("~999"))]+mark)
}

// SetAside gives a file below root another name in its directory, which says that it is damaged and since when, and makes that durable. Nothing is
// replaced: the name is one that nothing has. fs.ErrNotExist: there is no such file.
func SetAside(root *os.Root, name string, now time.Time) (aside string, err error) {
	if err := local(name); err != nil {
		return "", fmt.Errorf("warehouse: set aside: %w", err)
	}
	dir, err := root.Open(path.Dir(name))
	if err != nil {
		return "", fmt.Errorf("warehouse: set aside: %w", err)
	}
	stamp := AsideName(name, now)
	for n := 1; ; n++ {
		aside = stamp
		if n > 1 {
			aside = fmt.Sprintf("%s~%d", stamp, n)
		}
		err := moveNoReplace(dir, path.Base(name), dir, path.Base(aside))
		switch {
		case errors.Is(err, fs.ErrExist):
			continue
		case err != nil:
			return "", errors.Join(fmt.Errorf("warehouse: set %s aside: %w", name, err), dir.Close())
		}
		return aside, syncDir(dir, (*os.File).Sync)
	}
}

// Fill puts into a directory of the tree what it lacks of the manifest, from a staged one that holds all of it (Warehouse.VerifyTree). Nothing is
// replaced: if something else lies in the place of one of the files, or the directory is not there, nothing is moved and filled is false. It may be
// repeated with another staged directory of the same contents.
func (p *Publication) Fill(stagedDir, target string, manifest []ManifestFile) (filled bool, err error) {
	fail := func(err error) (bool, error) { return false, fmt.Errorf("warehouse: fill %s: %w", target, err) }
	if err := errors.Join(local(stagedDir), local(target), p.tree.house.distrust(stagedDir)); err != nil {
		return fail(err)
	}
	if info, err := p.tree.root.Lstat(target); err != nil || !info.IsDir() {
		return false, nil // it is published as usual
	}
	wanted, err := index(target, manifest)
	if err != nil {
		return fail(err)
	}
	var lacking []ManifestFile
	for name, file := range wanted {
		same, err := p.tree.holdsFile(name, Identity{Size: file.Size, SHA256: file.SHA256})
		switch {
		case errors.Is(err, fs.ErrNotExist):
			lacking = append(lacking, file)
		case err != nil:
			return fail(err)
		case !same:
			return false, nil
		}
	}
	for _, file := range lacking {
		if err := p.fillIn(path.Join(stagedDir, file.Path), path.Join(target, file.Path), file); err != nil {
			return fail(err)
		}
	}
	return true, p.tree.house.stage.RemoveAll(stagedDir)
}

// fillIn moves one staged file to where it belongs.
func (p *Publication) fillIn(staged, place string, file ManifestFile) error {
	want := Identity{Size: file.Size, SHA256: file.SHA256}
	dir, err := p.makeParents(path.Dir(place))
	if err != nil {
		return err
	}
	if dir != path.Dir(place) {
		return fmt.Errorf("a file lies in the place of the directory %s: %w", path.Dir(place), fs.ErrExist)
	}
	done, err := p.tree.put(staged, place, goods{
		whole: func() error { return p.tree.house.inspectFile(staged, want) },
		same:  func(candidate string) (bool, error) { return p.tree.holdsFile(candidate, want) },
	})
	if err == nil && !done {
		err = fmt.Errorf("%s: %w", place, fs.ErrExist)
	}
	return err
}
