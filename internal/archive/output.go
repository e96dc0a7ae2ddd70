package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"time"

	"talon/internal/pathname"
)

const (
	dirMode  fs.FileMode = 0o750
	fileMode fs.FileMode = 0o640
)

// output writes below one directory and nowhere else. It knows every path that was ever given away, so that no file
// replaces another; paths are relative and slash-separated. Every error it returns wraps ErrDestination.
type output struct {
	root    *os.Root
	taken   map[string]fs.FileMode // fs.ModeDir or 0
	version map[string]int         // the last version tried of a path, so that many twins do not cost a search each
	temps   int
	live    string // the one draft there is
}

func newOutput(dest string) (*output, error) {
	root, err := os.OpenRoot(dest)
	if err != nil {
		return nil, destinationError(err)
	}
	names, err := fs.ReadDir(root.FS(), ".")
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("%w: the directory is not empty", fs.ErrExist)
	}
	if err != nil {
		_ = root.Close()
		return nil, destinationError(err)
	}
	return &output{root: root, taken: map[string]fs.FileMode{}, version: map[string]int{}}, nil
}

// close removes the draft that a crash of a decoder may have left behind.
func (o *output) close() {
	o.drop()
	_ = o.root.Close()
}

func (o *output) drop() {
	if o.live != "" {
		_ = o.root.Remove(o.live)
		o.live = ""
	}
}

func destinationError(err error) error { return fmt.Errorf("%w: %w", ErrDestination, err) }

// fresh takes the first free version of a path for a file (mode 0) or a directory (fs.ModeDir).
func (o *output) fresh(p string, mode fs.FileMode) string {
	candidate := p
	for {
		if _, taken := o.taken[candidate]; !taken {
			o.taken[candidate] = mode
			return candidate
		}
		o.version[p] = max(o.version[p]+1, 2)
		candidate = pathname.Versioned(p, o.version[p])
	}
}

// makeDir creates a directory under the first free version of a path, whose parent exists.
func (o *output) makeDir(p string) (string, error) {
	p = o.fresh(p, fs.ModeDir)
	err := o.root.Mkdir(p, dirMode)
	if err == nil {
		err = o.root.Chmod(p, dirMode) // the umask may have taken something away
	}
	if err != nil {
		return "", destinationError(err)
	}
	return p, nil
}

// remove deletes a file, or a directory if it is empty. The path stays taken.
func (o *output) remove(p string) error {
	err := o.root.Remove(p)
	if o.taken[p].IsDir() && errors.Is(err, fs.ErrExist) {
		return nil // not empty (ENOTEMPTY)
	}
	if err != nil {
		return destinationError(err)
	}
	return nil
}

// draft is a file that has no place yet. Exactly one of commit and discard ends it.
type draft struct {
	out  *output
	name string
	file *os.File
	hash hash.Hash
	size int64
}

func (o *output) create() (*draft, error) {
	o.drop()
	for {
		o.temps++
		name := fmt.Sprintf(".part-%d", o.temps)
		file, err := o.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
		if errors.Is(err, fs.ErrExist) {
			continue // an extracted file is really called so
		}
		if err != nil {
			return nil, destinationError(err)
		}
		o.live = name
		return &draft{out: o, name: name, file: file, hash: sha256.New()}, nil
	}
}

// Write implements io.Writer.
func (d *draft) Write(p []byte) (int, error) {
	n, err := d.file.Write(p)
	d.hash.Write(p[:n])
	d.size += int64(n)
	if err != nil {
		return n, destinationError(err)
	}
	return n, nil
}

func (d *draft) discard() {
	_ = d.file.Close()
	d.out.drop()
}

// commit gives the draft the first free version of a path, whose directory exists.
func (d *draft) commit(p string, modTime time.Time) (File, error) {
	err := d.file.Chmod(fileMode)
	if cerr := d.file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.out.root.Chtimes(d.name, modTime, modTime)
	}
	if err == nil {
		p = d.out.fresh(p, 0)
		err = d.out.root.Rename(d.name, p)
	}
	if err != nil {
		d.discard()
		return File{}, destinationError(err)
	}
	d.out.live = ""
	return File{Path: p, Size: d.size, SHA256: hex.EncodeToString(d.hash.Sum(nil)), ModTime: modTime}, nil
}

// digest returns the lower-case hex SHA-256 of a reader's content.
func digest(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sensibleTime returns t, or fallback if t is unknown, within 1980 (the first year of FAT and zip) and tomorrow.
func sensibleTime(t, fallback time.Time) time.Time {
	if t.IsZero() || t.Unix() == 0 {
		t = fallback
	}
	first, last := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), time.Now().Add(24*time.Hour)
	switch {
	case t.Before(first):
		t = first
	case t.After(last):
		t = last
	}
	return t.UTC()
}
