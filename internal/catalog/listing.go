package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

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
	rows, err := q.QueryContext(ctx, `SELECT l.listed, l.excluded, l.unchanged, l.adopted, coalesce(e.state, ''), count(e.id),
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
		if err := rows.Scan(&b.Listed, &b.Excluded, &b.Unchanged, &b.Adopted, &state, &count, &bytes); err != nil {
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

const lastListingQuery = `SELECT listed + excluded FROM listings WHERE server = ?1
AND id < coalesce((SELECT id FROM listings WHERE run = ?2 AND server = ?1), 9223372036854775807) ORDER BY id DESC LIMIT 1`

// LastListing tells how many files, excluded ones included, the latest listing of the server had that was planned by another run before
// exceptRun's. ok is false if there is none.
func (c *Catalog) LastListing(ctx context.Context, server, exceptRun string) (files int, ok bool, err error) {
	err = c.reader.QueryRowContext(ctx, lastListingQuery, server, exceptRun).Scan(&files)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("catalog: last listing of %s: %w", server, err)
	}
	return files, true, nil
}
