package warehouse

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"
	"time"
)

// Identity is what a file holds.
type Identity struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// StagedFile is a file that is being written into the stage. It is for one goroutine, except for Mark.
type StagedFile struct {
	name string // below the stage
	file *os.File
	at   *os.Root // the directory through which it is changed,
	base string   // and its name there

	mu   sync.Mutex // guards what Mark looks at
	hash hash.Hash
	size int64
}

// Mark is how far a staged file is: what another attempt needs to go on with a copy of it. The hash proves that the copy holds
// those bytes. (The state of an unfinished SHA-256 would spare hashing them again, but it contains the last of them in clear.)
type Mark struct {
	Name string `json:"name"` // below the stage
	Identity
}

// CreateStaged creates a file below the stage, and the directories above it. A file of that name must not exist:
// fs.ErrExist.
func (s *Stage) CreateStaged(rel string) (*StagedFile, error) {
	if err := local(rel); err != nil {
		return nil, fmt.Errorf("warehouse: stage: %w", err)
	}
	file, err := s.createFile(rel)
	if errors.Is(err, fs.ErrNotExist) { // the janitor has just removed the empty directory
		file, err = s.createFile(rel)
	}
	if err != nil {
		return nil, fmt.Errorf("warehouse: stage: %w", err)
	}
	return newStagedFile(s.stage, rel, rel, file), nil
}

func newStagedFile(at *os.Root, base, name string, file *os.File) *StagedFile {
	return &StagedFile{name: name, file: file, at: at, base: base, hash: sha256.New()}
}

func (s *Stage) createFile(rel string) (*os.File, error) {
	if err := s.stage.MkdirAll(path.Dir(rel), dirMode); err != nil {
		return nil, err
	}
	return createIn(s.stage, rel)
}

func createIn(at *os.Root, name string) (*os.File, error) {
	return at.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
}

// ContinueStaged is CreateStaged with what another attempt had staged by its mark. The bytes are copied, since that attempt may
// still be writing, and read anew: after a crash of the host a file may be shorter than it was, or hold zeros. ErrLost: they are
// not those of the mark.
func (s *Stage) ContinueStaged(rel string, from Mark) (*StagedFile, error) {
	staged, err := s.CreateStaged(rel)
	if err != nil {
		return nil, err
	}
	if err := staged.copyFrom(s.stage, from); err != nil {
		return nil, errors.Join(fmt.Errorf("warehouse: continue %s: %w", from.Name, err), staged.Discard())
	}
	return staged, nil
}

func (f *StagedFile) copyFrom(stage *os.Root, from Mark) error {
	if err := local(from.Name); err != nil {
		return err
	}
	old, err := stage.Open(from.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrLost
	}
	if err != nil {
		return err
	}
	defer old.Close() //nolint:errcheck // nothing was written
	if _, err := io.CopyN(f, old, from.Size); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if f.Mark().Identity != from.Identity {
		return ErrLost
	}
	return nil
}

// Write implements io.Writer.
func (f *StagedFile) Write(p []byte) (int, error) {
	n, err := f.file.Write(p)
	f.mu.Lock()
	f.hash.Write(p[:n])
	f.size += int64(n)
	f.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("warehouse: stage: %w", err)
	}
	return n, err
}

// Mark tells how far the file is. It may be called while the file is being written.
func (f *StagedFile) Mark() Mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Mark{Name: f.name, Identity: f.identity()}
}

func (f *StagedFile) identity() Identity {
	return Identity{Size: f.size, SHA256: hex.EncodeToString(f.hash.Sum(nil))}
}

// Tail reads the last bytes that were written, at most most.
func (f *StagedFile) Tail(most int64) ([]byte, error) {
	tail := make([]byte, min(most, f.size))
	if _, err := f.file.ReadAt(tail, f.size-int64(len(tail))); err != nil {
		return nil, fmt.Errorf("warehouse: stage: %w", err)
	}
	return tail, nil
}

// Keep closes the file and leaves it where it is, for another attempt.
func (f *StagedFile) Keep() error {
	if err := f.file.Close(); err != nil {
		return fmt.Errorf("warehouse: stage: %w", err)
	}
	return nil
}

// SetTime sets when the file was modified, according to where it comes from. Nothing may be written after it.
func (f *StagedFile) SetTime(modified time.Time) error {
	if err := f.at.Chtimes(f.base, modified, modified); err != nil {
		return fmt.Errorf("warehouse: stage: %w", err)
	}
	return nil
}

// Close ends the file and tells what was written. It is not durable before Warehouse.Sync.
func (f *StagedFile) Close() (Identity, error) {
	if err := f.Keep(); err != nil {
		return Identity{}, err
	}
	return f.identity(), nil
}

// Discard removes the file, closed or not. Discarding what is gone already is no error.
func (f *StagedFile) Discard() error {
	closing := f.file.Close()
	if errors.Is(closing, os.ErrClosed) {
		closing = nil
	}
	removing := f.at.Remove(f.base)
	if errors.Is(removing, fs.ErrNotExist) {
		removing = nil
	}
	if err := errors.Join(closing, removing); err != nil {
		return fmt.Errorf("warehouse: discard: %w", err)
	}
	return nil
}

// RemoveStaged removes what is staged under a name, with all below it, and counts the files. Nothing there is no error.
func (s *Stage) RemoveStaged(rel string) (files int, err error) {
	if err := local(rel); err != nil {
		return 0, fmt.Errorf("warehouse: remove: %w", err)
	}
	err = walk(s.stage, rel, func(_ string, info fs.FileInfo) error {
		if !info.IsDir() {
			files++
		}
		return nil
	})
	if err == nil {
		err = s.stage.RemoveAll(rel)
	}
	if err != nil {
		return 0, fmt.Errorf("warehouse: remove: %w", err)
	}
	return files, nil
}

// SweepStage removes leftovers and counts their files. keep judges the stage's entries, "a", and those one level down,
// "a/b", by the time of the last change in them; what it keeps stays whole. A directory "a" goes only when it is empty. What
// cannot be removed is in the error and does not keep the rest.
func (w *Warehouse) SweepStage(keep func(rel string, modTime time.Time) bool) (files int, err error) {
	entries, err := list(w.stage, ".")
	if err != nil {
		return 0, fmt.Errorf("warehouse: sweep: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		count, err := w.sweep(entry, keep)
		files += count
		errs = append(errs, err)
	}
	return files, errors.Join(errs...)
}

// sweep judges an entry of the stage, after the entries in it.
func (w *Warehouse) sweep(entry string, keep func(string, time.Time) bool) (files int, err error) {
	if info, err := w.stage.Lstat(entry); err != nil || !info.IsDir() { // judge passes over what is gone
		return w.judge(entry, keep)
	}
	touched, err := w.lastChange(entry) // before removals change it
	if err != nil {
		return 0, err
	}
	files, err = w.judgeAll(entry, keep)
	if err != nil || keep(entry, touched) {
		return files, err
	}
	err = w.stage.Remove(entry)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return files, err
}

func (w *Warehouse) judgeAll(dir string, keep func(string, time.Time) bool) (files int, err error) {
	children, err := list(w.stage, dir)
	errs := []error{err}
	for _, child := range children {
		count, err := w.judge(path.Join(dir, child), keep)
		files += count
		errs = append(errs, err)
	}
	return files, errors.Join(errs...)
}

// judge removes what is not to be kept, and counts its files.
func (w *Warehouse) judge(entry string, keep func(string, time.Time) bool) (files int, err error) {
	touched, err := w.lastChange(entry)
	if err != nil || keep(entry, touched) {
		return 0, err
	}
	return w.RemoveStaged(entry)
}

// lastChange is the time of the last change of anything in a staged tree.
func (w *Warehouse) lastChange(rel string) (last time.Time, err error) {
	err = walk(w.stage, rel, func(_ string, info fs.FileInfo) error {
		for _, t := range []time.Time{info.ModTime(), changed(info)} {
			if t.After(last) {
				last = t
			}
		}
		return nil
	})
	return last, err
}
