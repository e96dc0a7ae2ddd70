package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Original is what is known of a collected file on its server.
type Original struct {
	Kept
	Gone string // what was done with it there ("delete", "move", "rename"): it is not to be had again
	// Superseded: the server was listed with another version since.
	Superseded bool
}

// Original returns a collected file, or ErrNoRow.
func (c *Catalog) Original(ctx context.Context, fileID int64) (o Original, err error) {
	err = c.reader.QueryRowContext(ctx, `SELECT id, server, zip_dir, local_path, bytes, sha256, iif(remote_done, remote_action, ''),
		EXISTS (SELECT 1 FROM files v WHERE v.server = f.server AND v.raw_path = f.raw_path AND v.version > f.version AND v.collected_at >= f.collected_at)
		FROM files f WHERE id = ?`, fileID).Scan(&o.FileID, &o.Server, &o.Dir, &o.Path, &o.Size, &o.SHA256, &o.Gone, &o.Superseded)
	if err != nil {
		return o, missing(err, "file %d", fileID)
	}
	return o, nil
}

// Mending is what is to be done about a finding, in one transaction.
type Mending struct {
	Finding Finding // its Done and Aside are written
	// Forget is the file that the next listing is to take for new, 0 if none.
	Forget int64
	// Refill is the extraction whose directory its next one may fill in, 0 if none; with Again it is queued for that decompression.
	Refill int64
	Again  string
}

// Mend notes what was done about a finding and begins what is still to be done.
func (c *Catalog) Mend(ctx context.Context, m Mending) error {
	return c.write(ctx, "mend "+m.Finding.Path, func(tx *sql.Tx) error {
		if m.Forget != 0 {
			if err := updateOne(ctx, tx, `UPDATE files SET forgotten = 1 WHERE id = ?`, m.Forget); err != nil {
				return err
			}
		}
		if err := refill(ctx, tx, m); err != nil {
			return err
		}
		return updateOne(ctx, tx, `UPDATE findings SET done = ?, aside = ? WHERE id = ?`, clip(m.Finding.Done, maxDetail), m.Finding.Aside, m.Finding.ID)
	})
}

func refill(ctx context.Context, tx *sql.Tx, m Mending) error {
	if m.Refill == 0 {
		return nil
	}
	err := updateOne(ctx, tx, `INSERT INTO mending (unzip_root, zip_file, since) SELECT unzip_root, zip_file, ?2 FROM archives WHERE id = ?1
		ON CONFLICT (unzip_root) DO UPDATE SET zip_file = excluded.zip_file`, m.Refill, nanos(time.Now()))
	if err != nil || m.Again == "" {
		return err
	}
	a, err := scanArchive(tx.QueryRowContext(ctx, `SELECT `+archiveColumns+` FROM archives WHERE id = ?`, m.Refill))
	if err != nil {
		return err
	}
	a.Decompression, a.Run = m.Again, "" // the run that collected it has its outcome
	return insertArchive(ctx, tx, a)
}

// Refillable returns the directory, below unzipDir, that the extraction of the archive may fill in, "" if there is none.
func (c *Catalog) Refillable(ctx context.Context, unzipDir string, a Archive) (string, error) {
	roots, err := query(ctx, c.reader, func(row scanner) (root string, err error) { return root, row.Scan(&root) },
		`SELECT unzip_root FROM mending WHERE zip_file = ? ORDER BY 1`, a.ZipDir+"/"+a.Path)
	if err != nil {
		return "", fmt.Errorf("catalog: directories of %s: %w", a.Path, err)
	}
	for _, root := range roots {
		if below, ok := strings.CutPrefix(root, unzipDir+"/"); ok {
			return below, nil
		}
	}
	return "", nil
}

// IsAwaited tells whether a collected file is to be collected again, and can be as far as is known.
func (c *Catalog) IsAwaited(ctx context.Context, fileID int64) (awaited bool, err error) {
	err = c.reader.QueryRowContext(ctx, `
		SELECT coalesce(max(forgotten = 1 AND (remote_done = 0 OR remote_action = '')), 0) FROM files WHERE id = ?`, fileID).Scan(&awaited)
	if err != nil {
		return false, fmt.Errorf("catalog: file %d: %w", fileID, err)
	}
	return awaited, nil
}

// Member returns one extracted file of an archive, or ErrNoRow.
func (c *Catalog) Member(ctx context.Context, archive int64, path string) (m Member, err error) {
	err = c.reader.QueryRowContext(ctx, `SELECT layer, path, raw_name, size, sha256 FROM members WHERE archive_id = ? AND path = ?`, archive, path).
		Scan(&m.Layer, &m.Path, &m.RawName, &m.Size, &m.SHA256)
	if err != nil {
		return m, missing(err, "member %s of archive %d", path, archive)
	}
	return m, nil
}
