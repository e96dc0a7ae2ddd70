package gateway

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// What versitygw leaves in <warehouse>/stage/bundles, its process killed or not (v1.8.0, Linux):
//
//	.sgwtmp/                             its scratch directory, always there. An object under way is a file without a name in it
//	                                     (O_TMPFILE), so that nothing is left of it; where the file system has no such files, it
//	                                     is .sgwtmp/<SHA-256 of the key>.<number>
//	.sgwtmp/multipart/<SHA-256 of the key>/<upload ID>/<part number>
//	                                     an upload in parts that is neither completed nor aborted, or of which a part arrived
//	                                     after the abort
//	.sgwtmp/multipart/<SHA-256 of the key>/<upload ID>.<ETag>.inprogress/<part number>
//	                                     the same, killed in the middle of the completion
//	<directory>/                         directories of objects that tiger has taken away
//	<directory>/.<name>.sgwtmp.<time>    never: it appears when an object is replaced, which the door does not let happen
//
// The gateway removes what is in .sgwtmp when nothing in it has changed for three days, and tiger's janitor does so with whole
// directories of bundles (warehouse.SweepStage). The gateway touches .sgwtmp every hour, so that the janitor leaves it, and the
// directory bundles with it, while a gateway runs.
const (
	scratchDir  = ".sgwtmp"
	staleUpload = 72 * time.Hour // as long as tiger's janitor waits
	staleNote   = time.Hour      // versitygw writes notes a moment before the object
	inProgress  = ".inprogress"
	uploadIDLen = 36 // a UUID
)

// recoverUploads puts right, while versitygw does not run, what a completion that was cut short has left: versitygw would take it for one
// that is under way, and answer another try with success although there is no object.
func (l *ledger) recoverUploads() error {
	cut, err := filepath.Glob(filepath.Join(escapeGlob(l.uploads), "*", "*"+inProgress))
	if err != nil {
		return err
	}
	for _, dir := range cut {
		hash, name := filepath.Base(filepath.Dir(dir)), filepath.Base(dir)
		if len(name) > uploadIDLen {
			err = errors.Join(err, l.recoverUpload(filepath.Join(scratchDir, "multipart", hash), name))
		}
	}
	return err
}

// recoverUpload gives an upload its own name back, so that it can be completed. If its object is there already, only the end is missing, in
// which the upload is removed.
func (l *ledger) recoverUpload(parent, name string) error {
	upload := name[:uploadIDLen]
	done := l.isCompleted(parent, upload)
	var errs []error
	for _, tree := range []string{l.notes, l.bundles} {
		old := filepath.Join(tree, parent, name)
		err := fs.ErrExist
		if !done {
			err = os.Rename(old, filepath.Join(tree, parent, upload))
		}
		if errors.Is(err, fs.ErrExist) {
			err = os.RemoveAll(old)
		}
		errs = append(errs, ignoreGone(err))
	}
	return errors.Join(errs...)
}

// isCompleted tells whether there is an object that was made of the upload.
func (l *ledger) isCompleted(parent, upload string) bool {
	key, err := os.ReadFile(filepath.Join(l.notes, parent, "meta", "objname"))
	if err != nil {
		return false
	}
	if _, err := os.Lstat(filepath.Join(l.bundles, string(key))); err != nil {
		return false
	}
	madeOf, err := os.ReadFile(filepath.Join(l.notesOf(string(key)), "mp-metadata"))
	return err == nil && strings.Contains(string(madeOf), upload)
}

// escapeGlob makes a path match itself alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// sweepAndTell is sweep with its outcome in the log.
func (l *ledger) sweepAndTell(log *slog.Logger) {
	removed, err := l.sweep(time.Now())
	if removed > 0 {
		log.Info("leftovers were removed", "count", removed)
	}
	if err != nil {
		log.Warn("leftovers could not be removed", "error", err)
	}
}

// sweep removes uploads in parts and scratch files that nobody has changed for long, and notes about objects that are gone.
func (l *ledger) sweep(now time.Time) (removed int, err error) {
	scratch := filepath.Join(l.bundles, scratchDir)
	if err := l.makeDirs(); err != nil {
		return 0, err
	}
	uploads, err := filepath.Glob(filepath.Join(escapeGlob(l.uploads), "*", "*"))
	files, globErr := filepath.Glob(filepath.Join(escapeGlob(scratch), "*.*"))
	errs := []error{err, globErr}
	for _, leftover := range append(uploads, files...) {
		if last, err := lastChange(leftover); err != nil || now.Sub(last) < staleUpload {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, os.RemoveAll(leftover))
		_ = os.Remove(filepath.Dir(leftover)) // unless another upload of the same key is in it
		removed++
	}
	notes, err := l.sweepNotes(now)
	return removed + notes, errors.Join(append(errs, err, l.makeDirs(), os.Chtimes(scratch, now, now))...)
}

// lastChange is the time of the last change in a tree, zero if it is gone.
func lastChange(tree string) (last time.Time, err error) {
	err = filepath.WalkDir(tree, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return ignoreGone(err)
		}
		info, err := entry.Info()
		if err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
		return ignoreGone(err)
	})
	return last, err
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sweepNotes removes the notes about objects, parts and uploads that are not there, and directories that are empty then.
func (l *ledger) sweepNotes(now time.Time) (removed int, err error) {
	var dirs []string
	err = filepath.WalkDir(l.notes, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return ignoreGone(err)
		case path == l.notes || path == filepath.Join(l.notes, "meta") || !entry.IsDir(): // the bucket's own notes stay
			return nil
		case entry.Name() != "meta":
			dirs = append(dirs, path)
			return nil
		}
		gone, err := l.sweepNotesIn(path, now)
		if gone {
			removed++
		}
		if err != nil {
			return err
		}
		return fs.SkipDir
	})
	for i := len(dirs) - 1; i >= 0; i-- { // the deepest first
		if info, err := os.Stat(dirs[i]); err == nil && now.Sub(info.ModTime()) > staleNote {
			_ = os.Remove(dirs[i]) // unless something is in it
		}
	}
	return removed, err
}

// sweepNotesIn removes a directory of notes if it is old and what they are about is gone.
func (l *ledger) sweepNotesIn(notes string, now time.Time) (gone bool, err error) {
	info, err := os.Stat(notes)
	if err != nil || now.Sub(info.ModTime()) < staleNote {
		return false, ignoreGone(err)
	}
	key, err := filepath.Rel(l.notes, filepath.Dir(notes))
	if err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writers[key] > 0 || l.isThere(key) {
		return false, nil
	}
	return true, os.RemoveAll(notes)
}

// isThere tells whether an object, an upload or a part is there. An upload has another name while it is put together.
func (l *ledger) isThere(key string) bool {
	path := filepath.Join(l.bundles, key)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return true
	}
	parts := strings.Split(key, "/") // .sgwtmp/multipart/<hash>/<upload>[/<part>]
	if parts[0] != scratchDir || len(parts) < 4 || len(parts[3]) < uploadIDLen {
		return false
	}
	renamed, err := filepath.Glob(filepath.Join(escapeGlob(filepath.Join(l.uploads, parts[2], parts[3][:uploadIDLen])) + "*"))
	return err != nil || len(renamed) > 0
}
