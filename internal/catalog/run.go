package catalog

import (
	"context"
	"database/sql"
)

// SaveRun writes or replaces the outcome of a run, but for its leftovers.
func (c *Catalog) SaveRun(ctx context.Context, r RunRow) error {
	return c.write(ctx, "save run "+r.ID, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO runs (id, kind, result, reason, detail, started_at, ended_at)
			VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, result = excluded.result,
			reason = excluded.reason, detail = excluded.detail, started_at = excluded.started_at, ended_at = excluded.ended_at`,
			r.ID, r.Kind, r.Result, r.Reason, clip(r.Detail, maxDetail), nanos(r.Start), nanos(r.End))
		return err
	})
}

// AddLeftovers adds to the staged files that were removed before a run. Unlike all else it is not to be repeated: each call counts.
func (c *Catalog) AddLeftovers(ctx context.Context, run string, files int) error {
	return c.write(ctx, "leftovers of "+run, func(tx *sql.Tx) error {
		return updateOne(ctx, tx, `UPDATE runs SET leftovers = leftovers + ? WHERE id = ?`, files, run)
	})
}

const insertServer = `INSERT INTO run_servers (run, server, result, reason, detail, listed, excluded, unchanged, deferred,
refused, failed, collected, pending, bytes, adopted, buffer_path, leftovers, warnings, started_at, ended_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, server) DO `

// SaveServer writes or replaces the outcome of a server in a run.
func (c *Catalog) SaveServer(ctx context.Context, s ServerRow) error {
	_, err := c.saveServer(ctx, s, insertServer+`UPDATE SET result = excluded.result, reason = excluded.reason,
		detail = excluded.detail, listed = excluded.listed, excluded = excluded.excluded, unchanged = excluded.unchanged,
		deferred = excluded.deferred, refused = excluded.refused, failed = excluded.failed, collected = excluded.collected,
		pending = excluded.pending, bytes = excluded.bytes, adopted = excluded.adopted, buffer_path = excluded.buffer_path,
		leftovers = excluded.leftovers, warnings = excluded.warnings, started_at = excluded.started_at, ended_at = excluded.ended_at`)
	return err
}

// SaveServerIfAbsent writes the outcome of a server that has none in the run: a parent's word on a child that left no own. It reports whether it
// did.
func (c *Catalog) SaveServerIfAbsent(ctx context.Context, s ServerRow) (saved bool, err error) {
	return c.saveServer(ctx, s, insertServer+`NOTHING`)
}

func (c *Catalog) saveServer(ctx context.Context, s ServerRow, statement string) (saved bool, err error) {
	err = c.write(ctx, "save server "+s.Server, func(tx *sql.Tx) error {
		b := s.Books
		done, err := tx.ExecContext(ctx, statement, s.Run, s.Server, s.Result, s.Reason, clip(s.Detail, maxDetail), b.Listed,
			b.Excluded, b.Unchanged, b.Deferred, b.Refused, b.Failed, b.Collected, b.Pending, b.Bytes, b.Adopted, s.BufferPath,
			s.Leftovers, texts{&s.Warnings}, nanos(s.Start), nanos(s.End))
		if err != nil {
			return err
		}
		rows, err := done.RowsAffected()
		saved = rows > 0
		return err
	})
	return saved, err
}
