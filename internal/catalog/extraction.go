package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
)

// AddArchives registers the archives of a decompression of its own as pending. One that is registered already stays as it
// is. An archive without FileID that lies where Talon published a collected file of that size is linked to it, and has its hash.
func (c *Catalog) AddArchives(ctx context.Context, archives []Archive) error {
	return c.write(ctx, "add archives", func(tx *sql.Tx) error {
		for _, a := range archives {
			if err := insertArchive(ctx, tx, a); err != nil {
				return err
			}
		}
		return nil
	})
}

func insertArchive(ctx context.Context, tx *sql.Tx, a Archive) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO archives (decompression, run, server, zip_dir, path, size, sha256, unzip_dir,
		file_id, done, unzip_path, result, reason, detail, host, started_at, ended_at, failed, received, bytes)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6,
		coalesce(nullif(?7, ''), (SELECT sha256 FROM files WHERE zip_file = ?4 || '/' || ?5 AND bytes = ?6), ''), ?8,
		coalesce(nullif(?9, 0), (SELECT id FROM files WHERE zip_file = ?4 || '/' || ?5 AND bytes = ?6)),
		0, '', 0, '', '', '', ?10, ?10, 0, 0, 0)
		ON CONFLICT (decompression, path) DO NOTHING`,
		a.Decompression, a.Run, a.Server, a.ZipDir, a.Path, a.Size, a.SHA256, a.UnzipDir, a.FileID, int64(noTime))
	if err != nil {
		return fmt.Errorf("archive %s: %w", a.Path, err)
	}
	return nil
}

const pendingArchivesQuery = `SELECT ` + archiveColumns + ` FROM archives
WHERE decompression = ? AND done = 0 AND id > ? ORDER BY id LIMIT ?`

// PendingArchives returns at most limit archives of the decompression that have no outcome yet, with an ID above after, in
// the order of their IDs.
func (c *Catalog) PendingArchives(ctx context.Context, decompression string, after int64, limit int) ([]Archive, error) {
	archives, err := query(ctx, c.reader, scanArchive, pendingArchivesQuery, decompression, after, limit)
	if err != nil {
		return nil, fmt.Errorf("catalog: pending archives of %s: %w", decompression, err)
	}
	return archives, nil
}

// OpenDecompressions returns the decompressions with an archive that has no outcome yet.
func (c *Catalog) OpenDecompressions(ctx context.Context) ([]string, error) {
	open, err := query(ctx, c.reader, func(row scanner) (id string, err error) { return id, row.Scan(&id) },
		`SELECT DISTINCT decompression FROM archives WHERE done = 0`)
	if err != nil {
		return nil, fmt.Errorf("catalog: open decompressions: %w", err)
	}
	return open, nil
}

// Archive returns one archive, or ErrNoRow.
func (c *Catalog) Archive(ctx context.Context, id int64) (Archive, error) {
	a, err := scanArchive(c.reader.QueryRowContext(ctx, `SELECT `+archiveColumns+` FROM archives WHERE id = ?`, id))
	if err != nil {
		return Archive{}, missing(err, "archive %d", id)
	}
	return a, nil
}

const unzipPathQuery = `SELECT EXISTS (SELECT 1 FROM archives WHERE unzip_root = ? AND zip_file <> ?)`

// UnzipPathTaken tells whether what another archive holds was published at the path in the unzip directory. The same file,
// extracted before, is not another archive: there, the contents decide.
func (c *Catalog) UnzipPathTaken(ctx context.Context, unzipDir, unzipPath string, archiveID int64) (bool, error) {
	a, err := c.Archive(ctx, archiveID)
	if err != nil {
		return false, err
	}
	var taken bool
	err = c.reader.QueryRowContext(ctx, unzipPathQuery, unzipDir+"/"+unzipPath, a.ZipDir+"/"+a.Path).Scan(&taken)
	if err != nil {
		return false, fmt.Errorf("catalog: owner of %s: %w", unzipPath, err)
	}
	return taken, nil
}

// SaveExtraction writes the sealed outcomes of archives, all or none, and replaces earlier ones. UnzipDir, Size and SHA256
// are kept if the extraction does not know them.
func (c *Catalog) SaveExtraction(ctx context.Context, extractions []Extraction) error {
	return c.write(ctx, "save extraction", func(tx *sql.Tx) error {
		for _, x := range extractions {
			if err := saveExtraction(ctx, tx, x); err != nil {
				return fmt.Errorf("archive %d: %w", x.Archive.ID, err)
			}
		}
		return nil
	})
}

func saveExtraction(ctx context.Context, tx *sql.Tx, x Extraction) error {
	a := x.Archive
	err := updateOne(ctx, tx, `UPDATE archives SET done = 1, unzip_dir = coalesce(nullif(?, ''), unzip_dir),
		size = coalesce(nullif(?, 0), size), sha256 = coalesce(nullif(?, ''), sha256), unzip_path = ?, result = ?, reason = ?,
		detail = ?, host = ?, started_at = ?, ended_at = ?, failed = ?, received = ?, bytes = ? WHERE id = ?`,
		a.UnzipDir, a.Size, a.SHA256, a.UnzipPath, a.Result, a.Reason, clip(a.Detail, maxDetail), a.Host, nanos(a.Start),
		nanos(a.End), a.Failed, a.Received, a.Bytes, a.ID)
	if err != nil {
		return err
	}
	for _, table := range []string{"layers", "members", "refusals"} {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE archive_id = ?`, a.ID); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM mending WHERE unzip_root = (SELECT unzip_root FROM archives WHERE id = ?)`, a.ID); err != nil {
		return err
	}
	return insertDetails(ctx, tx, x)
}

func insertDetails(ctx context.Context, tx *sql.Tx, x Extraction) error {
	layers := insertAll(ctx, tx, `INSERT INTO layers (archive_id, seq, path, result, archives, files, reason, detail)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, x.Layers, func(i int, l Layer) []any {
		return []any{x.Archive.ID, i + 1, l.Path, l.Result, l.Archives, l.Files, l.Reason, clip(l.Detail, maxDetail)}
	})
	members := insertAll(ctx, tx, `INSERT INTO members (archive_id, path, layer, raw_name, size, sha256)
		VALUES (?, ?, ?, ?, ?, ?)`, x.Members, func(_ int, m Member) []any {
		return []any{x.Archive.ID, m.Path, m.Layer, blob(m.RawName), m.Size, m.SHA256}
	})
	refusals := insertAll(ctx, tx, `INSERT INTO refusals (archive_id, seq, layer, name, raw_name, reason, detail)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, x.Refused, func(i int, r Refusal) []any {
		return []any{x.Archive.ID, i + 1, r.Layer, clip(r.Name, maxName), blob(r.RawName), r.Reason, clip(r.Detail, maxDetail)}
	})
	return errors.Join(layers, members, refusals)
}

// blob keeps a nil slice from becoming NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// insertAll runs one statement for every row.
func insertAll[T any](ctx context.Context, tx *sql.Tx, text string, rows []T, args func(i int, row T) []any) error {
	statement, err := tx.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer func() { _ = statement.Close() }()
	for i, row := range rows {
		if _, err := statement.ExecContext(ctx, args(i, row)...); err != nil {
			return err
		}
	}
	return nil
}

// DecompressionTotals counts the archives of a decompression by outcome.
func (c *Catalog) DecompressionTotals(ctx context.Context, decompression string) (
	total, succeeded, partial, failed, pending int, err error,
) {
	err = c.reader.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE done AND result = 0),
		count(*) FILTER (WHERE done AND result = 2), count(*) FILTER (WHERE done AND result NOT IN (0, 2)),
		count(*) FILTER (WHERE NOT done) FROM archives WHERE decompression = ?`, decompression).
		Scan(&total, &succeeded, &partial, &failed, &pending)
	if err != nil {
		err = fmt.Errorf("catalog: totals of %s: %w", decompression, err)
	}
	return total, succeeded, partial, failed, pending, err
}

// Origins leads from an extracted file, by its absolute path, back to the listing lines it came from. There are several if
// an archive was extracted several times with the same outcome, and none if Talon did not extract the file.
func (c *Catalog) Origins(ctx context.Context, unzipFile string) ([]Origin, error) {
	pairs, err := json.Marshal(splits(path.Clean(unzipFile)))
	if err != nil {
		return nil, fmt.Errorf("catalog: origins of %q: %w", unzipFile, err)
	}
	origins, err := query(ctx, c.reader, func(row scanner) (o Origin, err error) {
		return o, row.Scan(&o.UnzipFile, &o.SHA256, &o.Layer, &o.Archive, &o.Server, &o.RawPath, &o.Line, &o.Run,
			instant{&o.Collected})
	}, originsQuery, string(pairs))
	if err != nil {
		return nil, fmt.Errorf("catalog: origins of %q: %w", unzipFile, err)
	}
	return origins, nil
}

const originsQuery = `SELECT unzip_file, sha256, layer, archive, server, raw_path, line, run, collected_at
FROM json_each(?) split CROSS JOIN lineage ON unzip_root = split.value ->> 0 AND member = split.value ->> 1
ORDER BY archive_id`

// splits returns every way to divide a path into a published directory and a file in it.
func splits(file string) [][2]string {
	var all [][2]string
	for i := strings.LastIndexByte(file, '/'); i > 0; i = strings.LastIndexByte(file[:i], '/') {
		all = append(all, [2]string{file[:i], file[i+1:]})
	}
	return all
}
