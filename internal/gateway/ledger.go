package gateway

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// ledger keeps versitygw's notes about the objects of stage in step with the objects. versitygw calls an object present if there is a note of
// its ETag (backend/posix/posix.go, checkPutPreconditions), and it writes the note before the object; tiger takes objects away and knows
// nothing of notes. So before an object is written the note is made to say what is true, and "only if it is absent" means what it says.
type ledger struct {
	bundles, uploads string // directories of the objects and of uploads in parts
	notes            string // versitygw's notes about the bucket stage

	mu         sync.Mutex
	writers    map[string]int  // requests under way that may make an object, by key
	completing map[string]bool // uploads in parts that are being put together, by ID
}

func newLedger(place *place) *ledger {
	return &ledger{
		bundles: place.bundles, uploads: filepath.Join(place.uploads(), "multipart"), notes: filepath.Join(place.meta(), BucketStage),
		writers: map[string]int{}, completing: map[string]bool{},
	}
}

// makeDirs makes the directories that versitygw needs: tiger's janitor removes empty ones, and old ones.
func (l *ledger) makeDirs() error { return os.MkdirAll(filepath.Join(l.bundles, scratchDir), dirMode) }

// begin is called before a request that may make the object key; end after it.
func (l *ledger) begin(key string) error {
	if err := l.makeDirs(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writers[key] == 0 { // else versitygw may be between the note and the object
		if err := l.agree(key); err != nil {
			return err
		}
	}
	l.writers[key]++
	return nil
}

func (l *ledger) end(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writers[key]--; l.writers[key] == 0 {
		delete(l.writers, key)
	}
}

// agree removes a note of an object that is not there, and makes an empty one of an object that has none. A directory is no object, and
// versitygw says so.
func (l *ledger) agree(key string) error {
	notes := l.notesOf(key)
	info, err := os.Lstat(filepath.Join(l.bundles, key))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), err == nil && info.IsDir():
		return os.RemoveAll(notes)
	case err != nil:
		return err
	}
	if err := os.MkdirAll(notes, 0o700); err != nil {
		return err
	}
	note, err := os.OpenFile(filepath.Join(notes, "etag"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return note.Close()
}

// notesOf is the directory of the notes about an object (backend/meta/sidecar.go). Keys with a part "meta" are not let in (permit.go), so it
// is no other object's.
func (l *ledger) notesOf(key string) string { return filepath.Join(l.notes, key, "meta") }

// complete takes an upload in parts for the one request that puts it together, and gives it back by done. To a second request at the
// same time versitygw would answer that all is well before it is (backend/posix/posix.go, CompleteMultipartUploadWithCopy).
func (l *ledger) complete(upload string) (done func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.completing[upload] {
		return nil, false
	}
	l.completing[upload] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.completing, upload)
	}, true
}
