package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"
)

// PlanListing replaces what is planned for the server in the run by a whole listing, and returns the books. A file that is known already in
// the listed version (server, raw path, size, modification time or its alias as far as both listings tell it), because it was collected or
// adopted, is only counted; all others get an entry. If a raw path comes twice, the first line counts. Entries that this run has collected
// stay, listed or not.
//
// The lines may come from the network as slowly as they like: the catalog is not locked while they are read. Their number is bounded by
// the disk. An error among them is returned, wrapped, and nothing is written.
func (c *Catalog) PlanListing(
	ctx context.Context, run, server string, lines iter.Seq2[Listed, error], opt PlanOptions,
) (Plan, error) {
	if opt.Now.IsZero() {
		opt.Now = time.Now()
	}
	s, err := c.readListing(ctx, run, server, lines)
	if err != nil {
		return Plan{}, fmt.Errorf("catalog: read listing of %s: %w", server, err)
	}
	var plan Plan
	err = c.write(ctx, "plan listing of "+server, func(tx *sql.Tx) (err error) {
		plan, err = writePlan(ctx, tx, s, opt)
		return err
	})
	return plan, errors.Join(err, s.unknown.close())
}

func writePlan(ctx context.Context, tx *sql.Tx, s *sieve, opt PlanOptions) (Plan, error) {
	p := &planner{tx: tx, sieve: s, opt: opt}
	defer p.close()
	if err := p.begin(ctx); err != nil {
		return Plan{}, err
	}
	for l, err := range s.unknown.all() {
		if err == nil {
			err = p.add(ctx, &l)
		}
		if err != nil {
			return Plan{}, err
		}
	}
	if err := p.finish(ctx); err != nil {
		return Plan{}, err
	}
	books, err := readBooks(ctx, tx, s.run, s.server)
	return Plan{Books: books, Unstable: p.unstable}, err
}

// planner is the transaction of one PlanListing. It goes on counting where the sieve stopped.
type planner struct {
	*sieve
	tx       *sql.Tx
	opt      PlanOptions
	listing  int64
	first    bool // the server's first planned listing ever
	unstable int

	save, adopt, watch, observe *sql.Stmt
}

// begin takes what an earlier plan of this run left as not yet planned again.
func (p *planner) begin(ctx context.Context) error {
	err := p.tx.QueryRowContext(ctx, `INSERT INTO listings (run, server, listed, excluded, unchanged) VALUES (?, ?, 0, 0, 0)
		ON CONFLICT (run, server) DO UPDATE SET run = excluded.run RETURNING id`, p.run, p.server).Scan(&p.listing)
	if err != nil {
		return err
	}
	if p.first, err = p.beginBaseline(ctx); err != nil {
		return err
	}
	// OR FAIL: the transaction is rolled back anyway, so there is no need to keep what a single statement over many rows may have to undo.
	_, err = p.tx.ExecContext(ctx, `UPDATE OR FAIL entries SET planned = 0 WHERE listing_id = ? AND state <> 'collected'`, p.listing)
	if err != nil {
		return err
	}
	if _, err = p.tx.ExecContext(ctx, `UPDATE OR FAIL observations SET listed = 0 WHERE server = ?`, p.server); err != nil {
		return err
	}
	return p.prepare(ctx)
}

const saveEntryQuery = `INSERT INTO entries
(listing_id, raw_path, size, mtime, precision, path, line, state, reason, detail, marker) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (listing_id, raw_path, size, mtime) DO UPDATE SET path = excluded.path, line = excluded.line, state = excluded.state,
reason = excluded.reason, detail = excluded.detail, marker = excluded.marker, planned = 1 WHERE state <> 'collected'`

// prepare compiles what runs once per line.
func (p *planner) prepare(ctx context.Context) error {
	var errs [4]error
	p.save, errs[0] = p.tx.PrepareContext(ctx, saveEntryQuery)
	p.adopt, errs[1] = p.tx.PrepareContext(ctx, adoptQuery)
	p.watch, errs[2] = p.tx.PrepareContext(ctx, watchQuery)
	p.observe, errs[3] = p.tx.PrepareContext(ctx, observeQuery)
	return errors.Join(errs[:]...)
}

func (p *planner) close() {
	for _, statement := range []*sql.Stmt{p.save, p.adopt, p.watch, p.observe} {
		if statement != nil {
			_ = statement.Close() // the transaction decides
		}
	}
}

// add takes one line that is not known into the plan.
func (p *planner) add(ctx context.Context, l *Listed) error {
	if p.adopts(l) {
		p.unchanged++
		p.adopted++
		_, err := p.adopt.ExecContext(ctx, p.server, []byte(l.RawPath), l.Size, nanos(l.ModTime), int64(l.Precision), p.run, nanos(p.opt.Now))
		return err
	}
	if l.State != StatePending || p.opt.Stable <= 0 {
		return p.enter(ctx, l)
	}
	since, err := p.seenSince(ctx, l)
	if err != nil {
		return err
	}
	if p.opt.Now.Sub(since) < p.opt.Stable {
		p.unstable++
		l.State, l.Reason, l.Detail = StateDeferred, ReasonNotStable, notStable(p.opt.Stable, since)
	}
	return p.enter(ctx, l)
}

// enter writes the entry of a line. One of an earlier plan for the same version keeps its ID; one that was collected while the listing was
// being read stays as it is.
func (p *planner) enter(ctx context.Context, l *Listed) error {
	result, err := p.save.ExecContext(ctx, p.listing, []byte(l.RawPath), l.Size, nanos(l.ModTime), int64(l.Precision), clip(l.Path, maxName),
		[]byte(l.Line), l.State, l.Reason, clip(l.Detail, maxDetail), []byte(l.Marker))
	if err != nil {
		return err
	}
	saved, err := result.RowsAffected()
	if err == nil && saved == 0 {
		p.again++
	}
	return err
}

// finish removes what only an earlier plan had, defers what is too much for the run, and writes the counts.
func (p *planner) finish(ctx context.Context) error {
	if _, err := p.tx.ExecContext(ctx, `DELETE FROM entries WHERE listing_id = ? AND planned = 0`, p.listing); err != nil {
		return err
	}
	if _, err := p.tx.ExecContext(ctx, `DELETE FROM observations WHERE server = ? AND listed = 0`, p.server); err != nil {
		return err
	}
	if err := p.deferSurplus(ctx); err != nil {
		return err
	}
	excluded := 0
	if p.opt.Excluded != nil {
		excluded = p.opt.Excluded()
	}
	// What this run has collected counts as listed even if it has vanished since: deleted or moved on the server.
	_, err := p.tx.ExecContext(ctx, `UPDATE listings SET excluded = ?, unchanged = ?, adopted = ?,
		listed = ? + (SELECT count(*) FROM entries WHERE listing_id = ? AND state = 'collected') WHERE id = ?`,
		excluded, p.unchanged, p.adopted, len(p.seen)-p.again, p.listing, p.listing)
	return err
}
