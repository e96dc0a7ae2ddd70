package catalog

import (
	"context"
	"fmt"
)

// allowance is what a run may collect of a server, and how much of it is taken.
type allowance struct {
	maxFiles, files int
	maxBytes, bytes int64
}

// take takes files in if there is room for all of them. The first file of all has room, however large it is. Sizes are what a server
// claims, so they are not added up before they fit.
func (a *allowance) take(files int, bytes int64) bool {
	crowded := a.maxFiles > 0 && files > a.maxFiles-a.files || a.maxBytes > 0 && bytes > a.maxBytes-a.bytes
	if crowded && a.files+files > 1 {
		return false
	}
	a.files += files
	a.bytes += bytes
	return true
}

func (a *allowance) String() string {
	switch {
	case a.maxBytes <= 0:
		return fmt.Sprintf("%d files", a.maxFiles)
	case a.maxFiles <= 0:
		return fmt.Sprintf("%d bytes", a.maxBytes)
	}
	return fmt.Sprintf("%d files or %d bytes", a.maxFiles, a.maxBytes)
}

// deferSurplus defers the youngest pending files that the run's quota has no room for.
func (p *planner) deferSurplus(ctx context.Context) error {
	a := &allowance{maxFiles: p.opt.MaxFiles, maxBytes: p.opt.MaxBytes}
	if a.maxFiles <= 0 && a.maxBytes <= 0 {
		return nil
	}
	err := p.tx.QueryRowContext(ctx, `SELECT count(*), CAST(total(max(size, 0)) AS INTEGER) FROM entries
		WHERE listing_id = ? AND state = 'collected'`, p.listing).Scan(&a.files, &a.bytes)
	if err != nil {
		return err
	}
	// Only times are sorted here, not names: of a million files that is a matter of megabytes.
	var modTime int64
	over, err := p.fill(ctx, a, &modTime, `SELECT mtime, count(*), CAST(total(max(size, 0)) AS INTEGER) FROM entries
		WHERE listing_id = ? AND state = 'pending' GROUP BY mtime ORDER BY mtime`, p.listing)
	if err != nil || !over {
		return err
	}
	// The unary plus makes SQLite read the names of one time in the order of an index.
	var rawPath []byte
	_, err = p.fill(ctx, a, &rawPath, `SELECT raw_path, 1, max(size, 0) FROM entries
		WHERE listing_id = ? AND mtime = ? AND +state = 'pending' ORDER BY raw_path`, p.listing, modTime)
	if err != nil {
		return err
	}
	// OR FAIL as in begin.
	_, err = p.tx.ExecContext(ctx, `UPDATE OR FAIL entries SET state = 'deferred', reason = ?, detail = ?
		WHERE listing_id = ? AND state = 'pending' AND (mtime, raw_path) >= (?, ?)`,
		ReasonOverQuota, fmt.Sprintf("left for a later run: this one takes at most %s of this server, the oldest first", a), p.listing, modTime, rawPath)
	return err
}

// fill takes in what the query's rows stand for (a key, a number of files, their bytes), until there is no room for one. Then over is true
// and key is that row's.
func (p *planner) fill(ctx context.Context, a *allowance, key any, text string, args ...any) (over bool, err error) {
	rows, err := p.tx.QueryContext(ctx, text, args...)
	if err != nil {
		return false, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var files int
		var bytes int64
		if err := rows.Scan(key, &files, &bytes); err != nil {
			return false, err
		}
		if !a.take(files, bytes) {
			return true, nil
		}
	}
	return false, rows.Err()
}
