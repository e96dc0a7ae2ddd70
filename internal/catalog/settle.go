package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// ownRow is the row of files that collecting a version (server ?1, raw path ?2, size ?3, modification time ?4) with the contents ?5 writes to:
// its own, or that of a forgotten one that differs in nothing but the time, which one listing may tell otherwise than another.
const ownRow = `(SELECT id FROM files WHERE server = ?1 AND raw_path = ?2 AND size = ?3 AND sha256 = ?5 AND (mtime = ?4 OR forgotten = 1)
ORDER BY mtime = ?4 DESC, id DESC LIMIT 1)`

const localPathQuery = `SELECT EXISTS (SELECT 1 FROM files WHERE zip_file = ?6 AND id IS NOT ` + ownRow + `)`

// LocalPathTaken tells whether a file other than this version (server, raw path, size, modification time) of the entry with these contents
// owns the path in the zip directory.
func (c *Catalog) LocalPathTaken(ctx context.Context, zipDir, localPath string, entryID int64, sha256 string) (bool, error) {
	entry, err := c.Entry(ctx, entryID)
	if err != nil {
		return false, err
	}
	var taken bool
	err = c.placeOwner.QueryRowContext(ctx,
		entry.Server, []byte(entry.RawPath), entry.Size, nanos(entry.ModTime), sha256, zipDir+"/"+localPath).Scan(&taken)
	if err != nil {
		return false, fmt.Errorf("catalog: owner of %s: %w", localPath, err)
	}
	return taken, nil
}

// Settle writes what became of a page's entries, and returns its archives, those of an earlier call included. A collected
// entry stays collected, whatever a late call says.
func (c *Catalog) Settle(ctx context.Context, p Page) ([]Archive, error) {
	var archives []Archive
	err := c.write(ctx, "settle page of "+p.Server, func(tx *sql.Tx) error {
		s, err := newSettlement(ctx, tx, p)
		if err != nil {
			return err
		}
		defer s.close()
		for _, f := range p.Files {
			if err := s.settle(ctx, f); err != nil {
				return err
			}
		}
		for _, a := range p.Completed {
			if err := s.complete(ctx, a); err != nil {
				return err
			}
		}
		archives = s.archives
		return nil
	})
	return archives, err
}

// settlement is one Settle in progress.
type settlement struct {
	tx         *sql.Tx
	page       Page
	archives   []Archive
	readEntry  *sql.Stmt
	renewFile  *sql.Stmt
	insertFile *sql.Stmt
	closeEntry *sql.Stmt
}

// What was forgotten, or removed as an old version, and is collected again becomes a file of the run that did.
const insertFileQuery = `INSERT INTO files (server, raw_path, size, mtime, precision, sha256, path, version, bytes, zip_dir, local_path,
entry_id, run, collected_at, remote_action, remote_done, remote_detail, marker)
VALUES (?1, ?2, ?3, ?4, ?15, ?5, ?6, (SELECT 1 + count(*) FROM files WHERE server = ?1 AND raw_path = ?2),
?7, ?8, ?9, ?10, ?11, ?12, ?13, 0, '', ?14)
ON CONFLICT (server, raw_path, size, mtime, sha256) DO UPDATE SET zip_dir = excluded.zip_dir, local_path = excluded.local_path,
marker = excluded.marker, removal = 0, forgotten = 0, entry_id = iif(forgotten OR removal = 2, excluded.entry_id, entry_id),
run = iif(forgotten OR removal = 2, excluded.run, run), collected_at = iif(forgotten OR removal = 2, excluded.collected_at, collected_at),
remote_action = iif(forgotten OR removal = 2, excluded.remote_action, remote_action),
remote_done = iif(forgotten OR removal = 2, 0, remote_done), remote_detail = iif(forgotten OR removal = 2, '', remote_detail) RETURNING id`

// renewFileQuery lets a forgotten version be found under the time that the server tells now.
const renewFileQuery = `UPDATE files SET mtime = ?4, precision = ?6 WHERE forgotten = 1 AND id = ` + ownRow

func newSettlement(ctx context.Context, tx *sql.Tx, p Page) (*settlement, error) {
	s := &settlement{tx: tx, page: p}
	var errs [4]error
	s.readEntry, errs[0] = tx.PrepareContext(ctx, entryQuery+`WHERE e.id = ?`)
	s.insertFile, errs[1] = tx.PrepareContext(ctx, insertFileQuery)
	s.closeEntry, errs[2] = tx.PrepareContext(ctx,
		`UPDATE entries SET state = ?, reason = ?, detail = ?, file_id = ? WHERE id = ?`)
	s.renewFile, errs[3] = tx.PrepareContext(ctx, renewFileQuery)
	return s, errors.Join(errs[:]...)
}

func (s *settlement) close() {
	for _, statement := range []*sql.Stmt{s.readEntry, s.insertFile, s.closeEntry, s.renewFile} {
		_ = statement.Close() // the transaction decides
	}
}

// settle writes what became of one entry.
func (s *settlement) settle(ctx context.Context, f Settled) error {
	entry, err := scanEntry(s.readEntry.QueryRowContext(ctx, f.EntryID))
	if err != nil {
		return missing(err, "entry %d", f.EntryID)
	}
	if entry.Run != s.page.Run || entry.Server != s.page.Server {
		return fmt.Errorf("entry %d is of %s in %s: %w", f.EntryID, entry.Server, entry.Run, ErrNoRow)
	}
	switch f.State {
	case StateCollected:
		return s.collect(ctx, entry, f)
	case StateDeferred, StateRefused, StateFailed:
		if entry.State == StateCollected {
			return nil
		}
		return s.end(ctx, f, sql.NullInt64{})
	}
	return fmt.Errorf("entry %d is settled as %q", f.EntryID, f.State)
}

// collect writes the version that was collected, or finds it; its place is where it was published last.
func (s *settlement) collect(ctx context.Context, e Entry, f Settled) error {
	if f.SHA256 == "" || f.LocalPath == "" {
		return fmt.Errorf("entry %d is settled as collected without hash or path", f.EntryID)
	}
	_, err := s.renewFile.ExecContext(ctx, e.Server, []byte(e.RawPath), e.Size, nanos(e.ModTime), f.SHA256, int64(e.Precision))
	if err != nil {
		return fmt.Errorf("file %s: %w", f.LocalPath, err)
	}
	file := sql.NullInt64{Valid: true}
	err = s.insertFile.QueryRowContext(ctx, e.Server, []byte(e.RawPath), e.Size, nanos(e.ModTime), f.SHA256, e.Path, f.Size,
		s.page.ZipDir, f.LocalPath, e.ID, s.page.Run, nanos(time.Now()), s.page.RemoteAction, []byte(e.Marker),
		int64(e.Precision)).Scan(&file.Int64)
	if err != nil {
		return fmt.Errorf("file %s: %w", f.LocalPath, err)
	}
	if err := s.end(ctx, f, file); err != nil || !f.Archive {
		return err
	}
	return s.addArchive(ctx, Archive{Path: f.LocalPath, Size: f.Size, SHA256: f.SHA256})
}

// complete has an archive extracted that further volumes came for. An outcome that it had in this run goes.
func (s *settlement) complete(ctx context.Context, a Archive) error {
	const outcomes = `(SELECT id FROM archives WHERE run = ? AND zip_dir = ? AND path = ? AND done = 1 AND decompression <> ?)`
	of := []any{s.page.Run, s.page.ZipDir, a.Path, s.page.Decompression}
	for _, statement := range []string{
		`DELETE FROM layers WHERE archive_id IN `, `DELETE FROM members WHERE archive_id IN `, `DELETE FROM refusals WHERE archive_id IN `,
		`DELETE FROM archives WHERE id IN `,
	} {
		if _, err := s.tx.ExecContext(ctx, statement+outcomes, of...); err != nil {
			return fmt.Errorf("archive %s: %w", a.Path, err)
		}
	}
	return s.addArchive(ctx, a)
}

func (s *settlement) end(ctx context.Context, f Settled, file sql.NullInt64) error {
	_, err := s.closeEntry.ExecContext(ctx, f.State, f.Reason, clip(f.Detail, maxDetail), file, f.EntryID)
	return err
}

// addArchive has an archive of the page's server extracted.
func (s *settlement) addArchive(ctx context.Context, a Archive) error {
	p := s.page
	a.Decompression, a.Run, a.Server, a.ZipDir, a.UnzipDir = p.Decompression, p.Run, p.Server, p.ZipDir, p.UnzipDir
	if err := insertArchive(ctx, s.tx, a); err != nil {
		return err
	}
	archive, err := scanArchive(s.tx.QueryRowContext(ctx, `SELECT `+archiveColumns+` FROM archives WHERE decompression = ? AND path = ?`,
		p.Decompression, a.Path))
	s.archives = append(s.archives, archive)
	return err
}

// updateOne runs a statement that must hit a row: ErrNoRow if it does not.
func updateOne(ctx context.Context, tx *sql.Tx, statement string, args ...any) error {
	result, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	hit, err := result.RowsAffected()
	if err == nil && hit == 0 {
		err = ErrNoRow
	}
	return err
}
