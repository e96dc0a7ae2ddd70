package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Spent counts rows, or files, that are of no more use.
type Spent struct {
	Count  int       `json:"count"`
	Bytes  int64     `json:"bytes"`
	Oldest time.Time `json:"oldest,omitzero"`
}

// Add adds other to s.
func (s *Spent) Add(other Spent) {
	s.Count += other.Count
	s.Bytes += other.Bytes
	if s.Oldest.IsZero() || !other.Oldest.IsZero() && other.Oldest.Before(s.Oldest) {
		s.Oldest = other.Oldest
	}
}

// OldVersion is a collected file that a newer version has taken the place of.
type OldVersion struct {
	Kept
	Collected time.Time
}

// The newest version stays, and what counts as newer must be there, and not have been collected before: a server may have gone back to this one. What is being collected again stays, and an archive that waits to be extracted.
const oldVersion = `f.removal = 0 AND f.forgotten = 0 AND f.collected_at < ?1
AND EXISTS (SELECT 1 FROM files v WHERE v.server = f.server AND v.raw_path = f.raw_path AND v.version > f.version AND v.removal = 0 AND v.forgotten = 0
AND v.collected_at >= f.collected_at)
AND NOT EXISTS (SELECT 1 FROM archives a WHERE a.done = 0 AND a.file_id = f.id)
AND NOT EXISTS (SELECT 1 FROM archives a WHERE a.done = 0 AND a.zip_file = f.zip_file)`

const oldVersionsQuery = `SELECT id, 0, server, zip_dir, local_path, '', bytes, sha256, collected_at FROM files f
WHERE f.id > ?2 AND ` + oldVersion + ` ORDER BY f.id LIMIT ?3`

const beingRemovedQuery = `SELECT id, 0, server, zip_dir, local_path, '', bytes, sha256, collected_at FROM files WHERE removal = 1 ORDER BY id LIMIT ?`

func scanOldVersion(row scanner) (o OldVersion, err error) {
	return o, row.Scan(&o.FileID, &o.ArchiveID, &o.Server, &o.Dir, &o.Path, &o.Member, &o.Size, &o.SHA256, instant{&o.Collected})
}

// OldVersions returns at most limit old versions that were collected before a time, with an ID above after, in the order of their IDs.
func (c *Catalog) OldVersions(ctx context.Context, before time.Time, after int64, limit int) ([]OldVersion, error) {
	old, err := query(ctx, c.reader, scanOldVersion, oldVersionsQuery, nanos(before), after, limit)
	if err != nil {
		return nil, fmt.Errorf("catalog: old versions: %w", err)
	}
	return old, nil
}

// BeingRemoved returns at most limit files whose removal has begun and not been confirmed.
func (c *Catalog) BeingRemoved(ctx context.Context, limit int) ([]OldVersion, error) {
	begun, err := query(ctx, c.reader, scanOldVersion, beingRemovedQuery, limit)
	if err != nil {
		return nil, fmt.Errorf("catalog: files being removed: %w", err)
	}
	return begun, nil
}

// BeginRemoval notes that old versions are about to be removed from disk, those that still are old versions: from now on they may lie there or not.
func (c *Catalog) BeginRemoval(ctx context.Context, before time.Time, fileIDs []int64) error {
	return c.changeRemoval(ctx, `UPDATE files AS f SET removal = 1 WHERE f.id IN (SELECT value FROM json_each(?2)) AND `+oldVersion, nanos(before), fileIDs)
}

// EndRemoval notes that files do not lie on disk any more. One that was collected again in between does.
func (c *Catalog) EndRemoval(ctx context.Context, fileIDs []int64) error {
	return c.changeRemoval(ctx, `UPDATE files SET removal = 2 + 0 * ?1 WHERE id IN (SELECT value FROM json_each(?2)) AND removal = 1`, 0, fileIDs)
}

func (c *Catalog) changeRemoval(ctx context.Context, statement string, before int64, fileIDs []int64) error {
	ids, err := json.Marshal(fileIDs)
	if err != nil {
		return err
	}
	return c.write(ctx, "remove old versions", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement, before, string(ids))
		return err
	})
}

// errNotMeant rolls back a cleaning that was only to be counted.
var errNotMeant = errors.New("only counted")

// Rows of runs, in the order in which they go: none may be left that refers to one that went. What leads from a file back to its listing stays, with
// its listing and run; and so do the last listing of each server, which the next is compared with, and what makes a file known: files, adopted
// files, baselines are not of runs.
var runRows = []struct{ table, where string }{
	{"entries", `listing_id IN (SELECT l.id FROM listings l WHERE l.run = ?1
		AND EXISTS (SELECT 1 FROM listings n WHERE n.server = l.server AND n.id > l.id))
		AND state <> 'pending' AND NOT EXISTS (SELECT 1 FROM files f WHERE f.entry_id = entries.id)`},
	{"listings", `run = ?1 AND EXISTS (SELECT 1 FROM listings n WHERE n.server = listings.server AND n.id > listings.id)
		AND NOT EXISTS (SELECT 1 FROM entries e WHERE e.listing_id = listings.id)`},
	{"run_servers", `run = ?1 AND NOT EXISTS (SELECT 1 FROM listings l WHERE l.run = run_servers.run AND l.server = run_servers.server)`},
	{"runs", `id = ?1 AND NOT EXISTS (SELECT 1 FROM listings l WHERE l.run = runs.id) AND NOT EXISTS (SELECT 1 FROM run_servers s WHERE s.run = runs.id)
		AND NOT EXISTS (SELECT 1 FROM archives a WHERE a.run = runs.id) AND NOT EXISTS (SELECT 1 FROM archives a WHERE a.decompression = runs.id)`},
}

// CleanRuns removes, or counts if it is not meant, what nothing refers to of at most limit runs that ended before a time, after a position. Next is the
// position of the last run, 0 if there are no more. All of it is one transaction.
func (c *Catalog) CleanRuns(ctx context.Context, before time.Time, after int64, limit int, meant bool) (spent Spent, next int64, err error) {
	err = c.write(ctx, "clean runs", func(tx *sql.Tx) error {
		type run struct {
			position int64
			id       string
			started  time.Time
		}
		runs, err := query(ctx, tx, func(row scanner) (r run, err error) { return r, row.Scan(&r.position, &r.id, instant{&r.started}) },
			`SELECT rowid, id, started_at FROM runs WHERE rowid > ? AND ended_at > ? AND ended_at < ? ORDER BY rowid LIMIT ?`,
			after, int64(noTime), nanos(before), limit)
		if err != nil {
			return err
		}
		for _, r := range runs {
			gone, err := cleanRun(ctx, tx, r.id)
			if err != nil {
				return fmt.Errorf("%s: %w", r.id, err)
			}
			if gone > 0 {
				spent.Add(Spent{Count: gone, Oldest: r.started})
			}
		}
		if len(runs) == limit {
			next = runs[limit-1].position
		}
		if !meant {
			return errNotMeant
		}
		return nil
	})
	if errors.Is(err, errNotMeant) {
		err = nil
	}
	return spent, next, err
}

func cleanRun(ctx context.Context, tx *sql.Tx, run string) (rows int, err error) {
	for _, of := range runRows {
		result, err := tx.ExecContext(ctx, `DELETE FROM `+of.table+` WHERE `+of.where, run)
		if err != nil {
			return 0, err
		}
		gone, err := result.RowsAffected()
		if err != nil {
			return 0, err
		}
		rows += int(gone)
	}
	return rows, nil
}

// CleanFindings removes, or counts if it is not meant, what verifications found before a time, at most limit rows. more: there are others.
func (c *Catalog) CleanFindings(ctx context.Context, before time.Time, limit int, meant bool) (spent Spent, more bool, err error) {
	const old = ` FROM findings WHERE found_at < ?`
	if !meant {
		var oldest sql.NullInt64
		err = c.reader.QueryRowContext(ctx, `SELECT count(*), min(found_at)`+old, nanos(before)).Scan(&spent.Count, &oldest)
		if oldest.Valid {
			spent.Oldest = time.Unix(0, oldest.Int64).UTC()
		}
		return spent, false, err
	}
	err = c.write(ctx, "clean findings", func(tx *sql.Tx) error {
		times, err := query(ctx, tx, func(row scanner) (at time.Time, err error) { return at, row.Scan(instant{&at}) },
			`DELETE FROM findings WHERE id IN (SELECT id`+old+` ORDER BY id LIMIT ?) RETURNING found_at`, nanos(before), limit)
		for _, at := range times {
			spent.Add(Spent{Count: 1, Oldest: at})
		}
		more = len(times) == limit
		return err
	})
	return spent, more, err
}
