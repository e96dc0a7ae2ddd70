package catalog

import (
	"context"
	"fmt"
	"time"
)

// Outcome counts the files of one listing that came to the same end.
type Outcome struct {
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // a code
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"` // as received, or as listed where nothing came; 0 where no size was told
}

// Outcomes counts what became of a server's new and changed files in a run, by state and reason. The unchanged ones have no entries: Books counts
// them.
func (c *Catalog) Outcomes(ctx context.Context, run, server string) ([]Outcome, error) {
	outcomes, err := query(ctx, c.reader, func(row scanner) (o Outcome, err error) {
		return o, row.Scan(&o.State, &o.Reason, &o.Files, &o.Bytes)
	}, `SELECT e.state, e.reason, count(*), sum(coalesce(f.bytes, max(e.size, 0))) FROM entries e LEFT JOIN files f ON f.id = e.file_id
		WHERE e.listing_id = (SELECT id FROM listings WHERE run = ? AND server = ?) GROUP BY e.state, e.reason ORDER BY e.state, e.reason`,
		run, server)
	if err != nil {
		return nil, fmt.Errorf("catalog: outcomes of %s: %w", server, err)
	}
	return outcomes, nil
}

// Backlog is what waits for extraction.
type Backlog struct {
	Archives int
	Oldest   time.Time // since when the longest waiting one waits, zero if none does or that is not known
}

// An archive waits since it came, or since the decompression of its own began that found it: a file of years ago may be extracted once more today.
const backlogQuery = `SELECT count(*), coalesce(min(nullif(max(coalesce(f.collected_at, ?1), coalesce(r.started_at, ?1), coalesce(d.started_at, ?1)), ?1)), ?1)
FROM archives a LEFT JOIN files f ON f.zip_file = a.zip_file LEFT JOIN runs r ON r.id = a.run LEFT JOIN runs d ON d.id = a.decompression
WHERE a.done = 0`

// Backlog counts the archives that have no outcome yet.
func (c *Catalog) Backlog(ctx context.Context) (b Backlog, err error) {
	if err := c.reader.QueryRowContext(ctx, backlogQuery, int64(noTime)).Scan(&b.Archives, instant{&b.Oldest}); err != nil {
		return Backlog{}, fmt.Errorf("catalog: backlog: %w", err)
	}
	return b, nil
}

// LastEnd is when a run of that kind last ended, zero if none ever did.
func (c *Catalog) LastEnd(ctx context.Context, kind string) (end time.Time, err error) {
	err = c.reader.QueryRowContext(ctx, `SELECT coalesce(max(ended_at), ?) FROM runs WHERE kind = ?`, int64(noTime), kind).Scan(instant{&end})
	if err != nil {
		return end, fmt.Errorf("catalog: last run: %w", err)
	}
	return end, nil
}

// Check fails when the catalog does not answer.
func (c *Catalog) Check(ctx context.Context) error {
	var any int
	if err := c.reader.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM runs)`).Scan(&any); err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	return nil
}
