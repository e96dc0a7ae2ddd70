package catalog

import (
	"context"
	"database/sql"
	"fmt"
)

// PlanListing replaces what is planned for the server in the run by a whole listing, and returns the books. A file that is
// collected already in the listed version (server, raw path, size, modification time as far as both listings tell it) is
// only counted; all others get an entry. If a raw path comes twice, the first line counts. Entries that this run has collected stay, listed or not.
func (c *Catalog) PlanListing(ctx context.Context, run, server string, listed []Listed, excluded int) (Books, error) {
	var books Books
	err := c.write(ctx, "plan listing of "+server, func(tx *sql.Tx) error {
		p, err := newPlan(ctx, tx, run, server)
		if err != nil {
			return err
		}
		defer p.close()
		for i := range listed {
			if err := p.add(ctx, &listed[i]); err != nil {
				return err
			}
		}
		if err := p.finish(ctx, excluded); err != nil {
			return err
		}
		books, err = readBooks(ctx, tx, run, server)
		return err
	})
	return books, err
}

// version is the identity of a remote file within one server.
type version struct {
	rawPath string
	size    int64
	modTime int64
}

// plan is one PlanListing in progress.
type plan struct {
	tx        *sql.Tx
	server    string
	listing   int64
	seen      map[string]bool
	collected map[version]bool // by this very run
	kept      map[int64]bool   // entries of the new plan
	again     int              // listed lines that this run has collected
	unchanged int
	known     *sql.Stmt
	save      *sql.Stmt
}

func newPlan(ctx context.Context, tx *sql.Tx, run, server string) (*plan, error) {
	p := &plan{tx: tx, server: server, seen: map[string]bool{}, collected: map[version]bool{}, kept: map[int64]bool{}}
	err := tx.QueryRowContext(ctx, `INSERT INTO listings (run, server, listed, excluded, unchanged) VALUES (?, ?, 0, 0, 0)
		ON CONFLICT (run, server) DO UPDATE SET run = excluded.run RETURNING id`, run, server).Scan(&p.listing)
	if err != nil {
		return nil, err
	}
	done, err := query(ctx, tx, func(row scanner) (v version, err error) {
		return v, row.Scan(&v.rawPath, &v.size, &v.modTime)
	}, `SELECT raw_path, size, mtime FROM entries WHERE listing_id = ? AND state = 'collected'`, p.listing)
	if err != nil {
		return nil, err
	}
	for _, v := range done {
		p.collected[v] = true
	}
	return p, p.prepare(ctx)
}

// prepare compiles what runs once per line.
func (p *plan) prepare(ctx context.Context) (err error) {
	p.known, err = p.tx.PrepareContext(ctx,
		`SELECT EXISTS (SELECT 1 FROM files WHERE server = ?1 AND raw_path = ?2 AND size = ?3 AND
		(mtime = ?4 OR ?5 > 0 AND precision > 0 AND mtime / max(precision, ?5) = ?4 / max(precision, ?5)))`)
	if err != nil {
		return err
	}
	p.save, err = p.tx.PrepareContext(ctx, `INSERT INTO entries
		(listing_id, raw_path, size, mtime, precision, path, line, state, reason, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (listing_id, raw_path, size, mtime) DO UPDATE SET path = excluded.path, line = excluded.line,
		state = excluded.state, reason = excluded.reason, detail = excluded.detail RETURNING id`)
	return err
}

func (p *plan) close() {
	for _, statement := range []*sql.Stmt{p.known, p.save} {
		_ = statement.Close() // the transaction decides
	}
}

// add takes one line of the listing into the plan.
func (p *plan) add(ctx context.Context, l *Listed) error {
	if p.seen[l.RawPath] {
		return nil
	}
	p.seen[l.RawPath] = true
	v := version{rawPath: l.RawPath, size: l.Size, modTime: nanos(l.ModTime)}
	if p.collected[v] {
		p.again++
		return nil
	}
	var known bool
	if err := p.known.QueryRowContext(ctx, p.server, []byte(v.rawPath), v.size, v.modTime, int64(l.Precision)).Scan(&known); err != nil {
		return err
	}
	if known {
		p.unchanged++
		return nil
	}
	return p.enter(ctx, l, v)
}

// enter writes the entry of a line that is not collected. An entry of an earlier plan for the same version keeps its ID.
func (p *plan) enter(ctx context.Context, l *Listed, v version) error {
	switch l.State {
	case StatePending, StateDeferred, StateRefused:
	default:
		return fmt.Errorf("%q is listed in state %q", l.Path, l.State)
	}
	var id int64
	err := p.save.QueryRowContext(ctx, p.listing, []byte(v.rawPath), v.size, v.modTime, int64(l.Precision), clip(l.Path, maxName), []byte(l.Line),
		l.State, l.Reason, clip(l.Detail, maxDetail)).Scan(&id)
	p.kept[id] = true
	return err
}

// finish removes what only an earlier plan had and writes the counts.
func (p *plan) finish(ctx context.Context, excluded int) error {
	ids, err := query(ctx, p.tx, func(row scanner) (id int64, err error) { return id, row.Scan(&id) },
		`SELECT id FROM entries WHERE listing_id = ? AND state <> 'collected'`, p.listing)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if p.kept[id] {
			continue
		}
		if _, err := p.tx.ExecContext(ctx, `DELETE FROM entries WHERE id = ?`, id); err != nil {
			return err
		}
	}
	vanished := len(p.collected) - p.again // collected by this run, then deleted or moved on the server
	_, err = p.tx.ExecContext(ctx, `UPDATE listings SET listed = ?, excluded = ?, unchanged = ? WHERE id = ?`,
		len(p.seen)+vanished, excluded, p.unchanged, p.listing)
	return err
}

const nextEntriesQuery = entryQuery +
	`WHERE l.run = ? AND l.server = ? AND e.state = 'pending' AND e.id > ? ORDER BY e.id LIMIT ?`

// NextEntries returns at most limit pending entries of the server with an ID above after, in the order of their IDs.
func (c *Catalog) NextEntries(ctx context.Context, run, server string, after int64, limit int) ([]Entry, error) {
	entries, err := query(ctx, c.reader, scanEntry, nextEntriesQuery, run, server, after, limit)
	if err != nil {
		return nil, fmt.Errorf("catalog: next entries of %s: %w", server, err)
	}
	return entries, nil
}

// Entry returns one entry, or ErrNoRow.
func (c *Catalog) Entry(ctx context.Context, id int64) (Entry, error) {
	e, err := scanEntry(c.oneEntry.QueryRowContext(ctx, id))
	if err != nil {
		return Entry{}, missing(err, "entry %d", id)
	}
	return e, nil
}

// Books returns the counts of the server in the run. All are zero if its listing was never planned.
func (c *Catalog) Books(ctx context.Context, run, server string) (Books, error) {
	books, err := readBooks(ctx, c.reader, run, server)
	if err != nil {
		return Books{}, fmt.Errorf("catalog: books of %s: %w", server, err)
	}
	return books, nil
}

func readBooks(ctx context.Context, q querier, run, server string) (Books, error) {
	rows, err := q.QueryContext(ctx, `SELECT l.listed, l.excluded, l.unchanged, coalesce(e.state, ''), count(e.id),
		coalesce(sum(f.bytes), 0) FROM listings l LEFT JOIN entries e ON e.listing_id = l.id LEFT JOIN files f ON f.id = e.file_id
		WHERE l.run = ? AND l.server = ? GROUP BY e.state`, run, server)
	if err != nil {
		return Books{}, err
	}
	defer func() { _ = rows.Close() }()
	var b Books
	for rows.Next() {
		var state State
		var count int
		var bytes int64
		if err := rows.Scan(&b.Listed, &b.Excluded, &b.Unchanged, &state, &count, &bytes); err != nil {
			return Books{}, err
		}
		b.add(state, count, bytes)
	}
	return b, rows.Err()
}

// add counts entries of one state.
func (b *Books) add(state State, count int, bytes int64) {
	switch state {
	case StatePending:
		b.Pending = count
	case StateCollected:
		b.Collected, b.Bytes = count, bytes
	case StateDeferred:
		b.Deferred = count
	case StateRefused:
		b.Refused = count
	case StateFailed:
		b.Failed = count
	}
}
